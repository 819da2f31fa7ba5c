import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'

/** Multi-segment captures keep `%2F` (http.proto). In a group, so that split() keeps the match. */
const slash = /(%2f)/i
/** `:/?#[]@!$&'()*+,;=`, escaped (RFC 6570, 1.5). */
const reserved = /(%(?:3a|2f|3f|23|5b|5d|40|21|24|26|27|28|29|2a|2b|2c|3b|3d))/i
const outsideAscii = /[\x80-\uffff]/g
/** Runs of escapes, and a `%` that begins none, which decodeURIComponent refuses. */
const escapes = /(?:%[0-9A-Fa-f]{2})+|%/g

/**
 * Decodes each `%XX` of `raw`, once. Characters outside of ASCII are read as bytes of UTF-8, because Node decodes the request line as
 * Latin-1.
 * @throws {Fault} 400 naming `place`, for a malformed escape and for bytes that are not UTF-8
 */
export function decodePercent(raw: string, place: string): string {
  try {
    return decodeURIComponent(raw.replace(outsideAscii, escapeByte))
  } catch {
    return undecodable(raw, place)
  }
}

/** As decodePercent(), but keeps `%2F` and `%2f`: for multi-segment captures (http.proto). */
export function decodeSegments(raw: string, place: string): string {
  return decodeBut(slash, raw, place)
}

/** As decodePercent(), but keeps escapes of reserved characters (RFC 6570). */
export function decodeUnreserved(raw: string, place: string): string {
  return decodeBut(reserved, raw, place)
}

function decodeBut(kept: RegExp, raw: string, place: string): string {
  if (!kept.test(raw)) return decodePercent(raw, place)
  return raw
    .split(kept)
    .map((part, index) => (index % 2 ? part : decodePercent(part, place)))
    .join('')
}

/** One `name=value` of a query or form, decoded. */
export type Pair = readonly [name: string, value: string]

/**
 * The pairs of a raw query string, without its `?`, one by one. `+` is a space (our decision). A name without `=` has an empty value.
 * @throws {Fault} 400 naming the parameter.
 */
export function parseQuery(raw: string): Generator<Pair> {
  return pairsOf(raw, (text, place) => (/[%\x80-\uffff]/.test(text) ? decodePercent(text, place) : text))
}

/**
 * As parseQuery(), for a form that was already decoded from UTF-8, so that only escapes remain.
 * @throws {Fault} 400 naming the field.
 */
export function parseForm(text: string): Generator<Pair> {
  return pairsOf(text.toWellFormed(), (part, place) => (part.includes('%') ? decodeEscapes(part, place) : part))
}

type Decode = (raw: string, place: string) => string

function* pairsOf(raw: string, decode: Decode): Generator<Pair> {
  for (let start = 0; start < raw.length; ) {
    const ampersand = raw.indexOf('&', start)
    const end = ampersand < 0 ? raw.length : ampersand
    if (end > start) yield pairOf(raw.slice(start, end).replaceAll('+', ' '), decode)
    start = end + 1
  }
}

function pairOf(part: string, decode: Decode): Pair {
  const equals = part.indexOf('=')
  const name = decode(equals < 0 ? part : part.slice(0, equals), 'query')
  return [name, equals < 0 ? '' : decode(part.slice(equals + 1), name)]
}

/** Decodes each `%XX` in `text`, which is already decoded from UTF-8. */
function decodeEscapes(text: string, place: string): string {
  try {
    return text.replace(escapes, decodeURIComponent)
  } catch {
    return undecodable(text, place)
  }
}

function undecodable(raw: string, place: string): never {
  throw Fault.invalid(place, `Cannot decode "${shortened(place)}": expected "%" and two hex digits a byte of UTF-8`, {
    callerOnly: `, got "${shortened(raw)}"`,
  })
}

function escapeByte(char: string): string {
  const byte = char.charCodeAt(0)
  // Characters above 0xff cannot come over the wire: give an escape that is malformed.
  return byte > 0xff ? '%' : `%${byte.toString(16)}`
}

import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'

/** A `%2F` of a multi-segment capture stays as it is (http.proto); split() keeps what a group has matched. */
const slash = /(%2f)/i
/** `:/?#[]@!$&'()*+,;=`, escaped (RFC 6570, 1.5). */
const reserved = /(%(?:3a|2f|3f|23|5b|5d|40|21|24|26|27|28|29|2a|2b|2c|3b|3d))/i
const outsideAscii = /[\x80-\uffff]/g
/** Runs of escapes; and a `%` that begins none, which decodeURIComponent refuses. */
const escapes = /(?:%[0-9A-Fa-f]{2})+|%/g

/**
 * `raw` with each `%XX` decoded, once. What came outside of ASCII is taken as the bytes that it came as: Node hands the
 * request line over as Latin-1.
 * @throws {Fault} 400 naming `place`, for a malformed escape and for bytes that are not UTF-8.
 */
export function decodePercent(raw: string, place: string): string {
  try {
    return decodeURIComponent(raw.replace(outsideAscii, escapeByte))
  } catch {
    return undecodable(raw, place)
  }
}

/** As decodePercent(), but `%2F` and `%2f` stay as they are: for captures of many segments (http.proto). */
export function decodeSegments(raw: string, place: string): string {
  return decodeBut(slash, raw, place)
}

/** As decodePercent(), but what RFC 6570 reserves stays as it is. */
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
 * The pairs of a raw query string, without its `?`, one by one. `+` is a space (our decision); a name without `=` has the empty
 * value.
 * @throws {Fault} 400 naming the parameter.
 */
export function parseQuery(raw: string): Generator<Pair> {
  return pairsOf(raw, (text, place) => (/[%\x80-\uffff]/.test(text) ? decodePercent(text, place) : text))
}

/**
 * As parseQuery(), for a form that was decoded from UTF-8: what stands outside of an escape is text already.
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

/** `text` with each `%XX` decoded where the rest is text already. */
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
  // Beyond a byte it cannot have come over the wire: an escape that decodes to nothing.
  return byte > 0xff ? '%' : `%${byte.toString(16)}`
}

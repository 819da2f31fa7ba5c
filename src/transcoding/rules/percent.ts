import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'

/** A `%2F` of a multi-segment capture stays as it is (H); split() keeps what a group has matched. */
const slash = /(%2f)/i
const outsideAscii = /[\x80-\uffff]/g

/**
 * `raw` with each `%XX` decoded, once. What came outside of ASCII is taken as the bytes that it came as: Node hands the
 * request line over as Latin-1.
 * @throws Fault 400 naming `place`, for a malformed escape and for bytes that are not UTF-8.
 */
export function decodePercent(raw: string, place: string): string {
  try {
    return decodeURIComponent(raw.replace(outsideAscii, escapeByte))
  } catch {
    throw Fault.invalid(place, `Cannot decode "${shortened(place)}": expected "%" and two hex digits a byte of UTF-8`, {
      callerOnly: `, got "${shortened(raw)}"`,
    })
  }
}

/** As decodePercent(), but for `%2F` and `%2f`, which are left as they are: for captures of many segments (H). */
export function decodeSegments(raw: string, place: string): string {
  if (!slash.test(raw)) return decodePercent(raw, place)
  return raw
    .split(slash)
    .map((part, index) => (index % 2 ? part : decodePercent(part, place)))
    .join('')
}

/** One `name=value` of a query or form, decoded. */
export type Pair = readonly [name: string, value: string]

/**
 * The pairs of a raw query string, without its `?`. `+` is a space (ours); a name without `=` has the empty value.
 * @throws Fault 400 naming the parameter.
 */
export function parseQuery(raw: string): Pair[] {
  if (raw === '') return []
  const pairs: Pair[] = []
  for (const part of raw.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decodePlus(equals < 0 ? part : part.slice(0, equals), 'query')
    pairs.push([name, equals < 0 ? '' : decodePlus(part.slice(equals + 1), name)])
  }
  return pairs
}

function decodePlus(raw: string, place: string): string {
  if (!/[%+\x80-\uffff]/.test(raw)) return raw
  return decodePercent(raw.replaceAll('+', ' '), place)
}

function escapeByte(char: string): string {
  const byte = char.charCodeAt(0)
  // Beyond a byte it cannot have come over the wire: an escape that decodes to nothing.
  return byte > 0xff ? '%' : `%${byte.toString(16)}`
}

import {Fault} from '../../core/fault.ts'
import {RenamedKeys} from '../../core/renamed-keys.ts'
import {shortened} from '../../core/shortened.ts'
import {ValueCount} from '../value-count.ts'

/** How deep arrays and objects may nest (our decision). */
export const maxNesting = 100

/**
 * As JSON.parse, but integers that a double would round become bigints. Refuses duplicate keys, more than 100 levels of nesting, a
 * byte order mark, anything after the value, and more values than `count` allows. The text is scanned before anything is built.
 *
 * Hand-written around JSON.parse, which accepts duplicate keys and any depth, and has built everything before its reviver is called.
 * @throws {Fault} 400 naming `body`
 */
export function parseJson(text: string, count = new ValueCount()): unknown {
  if (text.startsWith('\ufeff')) refuse('a byte order mark stands before it')
  const {mayRound, renamed} = scan(text, count)
  const reviver = mayRound ? (exact as Reviver) : undefined
  if (!renamed) return parsed(text, reviver)
  try {
    return JSON.parse(renamed.in(text), restoring(renamed, reviver) as Parse)
  } catch {
    // It throws too, and quotes the text as it came.
    return parsed(text)
  }
}

type Parse = Parameters<typeof JSON.parse>[1]
type Reviver = (key: string, value: unknown, context: {source?: string}) => unknown

function restoring(renamed: RenamedKeys, reviver: Reviver | undefined): Reviver {
  return (key, value, context) => {
    const restored = renamed.restored(value)
    return reviver ? reviver(key, restored, context) : restored
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
function parsed(text: string, reviver?: Reviver): any {
  try {
    return JSON.parse(text, reviver as Parse)
  } catch (cause) {
    // The message quotes the text around the error, so it is not for the log.
    throw Fault.invalid('body', 'Cannot read the body as JSON', {callerOnly: `: ${(cause as Error).message}`})
  }
}

/** Whether a JSON body is empty or only white space. */
export function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text)
}

/** Decodes UTF-8. @param fail throws the error for other bytes; unless given, a Fault about a JSON body @throws {Fault} 400 */
export function decodeUtf8(bytes: Uint8Array, fail: (reason: string) => never = refuse): string {
  try {
    return utf8.decode(bytes)
  } catch {
    return fail('it is not UTF-8')
  }
}

// A byte order mark is kept, so that it can be refused.
const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true})

function refuse(reason: string): never {
  throw Fault.invalid('body', `Cannot read the body as JSON: ${reason}`)
}

/** A reviver that reads each number from its source text, so that no digit is lost. */
function exact(_key: string, value: unknown, {source}: {source?: string}): unknown {
  return typeof value === 'number' && source && Math.abs(value) > Number.MAX_SAFE_INTEGER
    ? (exactInteger(source) ?? value)
    : value
}

/**
 * The integer that the JSON number `source` denotes, for example 15 for `1.5e1`. Undefined for other values, and for more than 100
 * characters or 20 digits.
 */
export function exactInteger(source: string): bigint | undefined {
  const parts = source.length <= 100 && /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(source)
  if (!parts) return undefined
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts
  const significant = `${whole}${fraction}`.replace(/^0+/, '').replace(/0+$/, '')
  const dropped = `${whole}${fraction}`.length - `${whole}${fraction}`.replace(/0+$/, '').length
  if (significant === '') return 0n
  const zeros = Number(exponent) - fraction.length + dropped
  if (zeros < 0 || significant.length + zeros > 20) return undefined
  return BigInt(`${sign}${significant}${'0'.repeat(zeros)}`)
}

const quote = 0x22
const backslash = 0x5c

/** What has to be done for a text beside JSON.parse. */
interface Scan {
  /** Whether a double may round one of the numbers. */
  readonly mayRound: boolean
  readonly renamed: RenamedKeys | undefined
}

/**
 * Checks what JSON.parse does not: the number of values, their nesting, and duplicate keys. Malformed JSON is left for JSON.parse to
 * refuse.
 */
function scan(text: string, count: ValueCount): Scan {
  // The keys seen in each open object; undefined for an array.
  const open: (Set<string> | undefined)[] = []
  let keys: Set<string> | undefined
  let long = false
  let renamed: RenamedKeys | undefined
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (char === quote) {
      const end = endOfString(text, at)
      if (!isKey(text, end)) count.add(1)
      else if (keys) {
        const written = text.slice(at + 1, end)
        if (RenamedKeys.isNeeded(written)) {
          renamed ??= new RenamedKeys()
          const key = parsed(`"${written}"`)
          renamed.add(key, {text, start: at + 1, end})
          remember(keys, key)
        } else remember(keys, written)
      }
      at = end
    } else if (char === 0x7b || char === 0x5b) {
      if (open.length === maxNesting) refuse(`it nests deeper than ${maxNesting} levels`)
      count.add(1)
      keys = char === 0x7b ? new Set() : undefined
      open.push(keys)
    } else if (char === 0x7d || char === 0x5d) {
      // JSON.parse refuses it. A body may have a million of them.
      if (open.length === 0) break
      open.pop()
      keys = open[open.length - 1]
    } else if (char === 0x2d || isDigit(char)) {
      const end = endOfNumber(text, at)
      count.add(1)
      long ||= mayRound(text, at, end)
      at = end - 1
    } else if (char >= 0x61 && char <= 0x7a) {
      // true, false or null.
      at = endOfWord(text, at) - 1
      count.add(1)
    }
  }
  return {mayRound: long, renamed}
}

/** The position of the quote that ends a string, or the end of the text. */
function endOfString(text: string, start: number): number {
  // Natively, as most of a large body is one long text.
  let at = text.indexOf('"', start + 1)
  while (at >= 0 && isEscaped(text, at)) at = text.indexOf('"', at + 1)
  return at < 0 ? text.length : at
}

/** Whether an odd number of backslashes stands before the quote at `at`. */
function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text.charCodeAt(first - 1) === backslash) first--
  return (at - first) % 2 === 1
}

function endOfNumber(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && isNumeric(text.charCodeAt(at))) at++
  return at
}

function endOfWord(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text.charCodeAt(at) >= 0x61 && text.charCodeAt(at) <= 0x7a) at++
  return at
}

function isDigit(char: number): boolean {
  return char >= 0x30 && char <= 0x39
}

function isNumeric(char: number): boolean {
  return isDigit(char) || char === 0x2e || char === 0x65 || char === 0x45 || char === 0x2b || char === 0x2d
}

/** A double holds any 15 digits. With an exponent, fewer digits may be rounded. */
function mayRound(text: string, start: number, end: number): boolean {
  const first = text.charCodeAt(start) === 0x2d ? start + 1 : start
  let at = first
  while (isDigit(text.charCodeAt(at))) at++
  if (at - first > 15) return true
  while (at < end && text.charCodeAt(at) !== 0x65 && text.charCodeAt(at) !== 0x45) at++
  return at < end
}

/** Whether the string that ends at `end` is a key: in an object it is one if a colon follows. */
function isKey(text: string, end: number): boolean {
  for (let at = end + 1; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (char === 0x3a) return true
    if (char !== 0x20 && char !== 0x0a && char !== 0x0d && char !== 0x09) return false
  }
  return false
}

function remember(keys: Set<string>, key: string): void {
  const before = keys.size
  if (keys.add(key).size === before) refuse(`the key "${shortened(key)}" is there twice in one object`)
}

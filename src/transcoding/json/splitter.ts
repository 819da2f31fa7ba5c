import {Fault} from '../../core/fault.ts'
import {decodeUtf8, maxNesting} from './text.ts'

export interface SplitterOptions {
  /** Limit for one value, in bytes: 1 MiB unless given. */
  maxBytes?: number | undefined
  /** Limit for the nesting of arrays and objects in one value: 100 unless given. */
  maxDepth?: number
}

// The splitter's states: what the next byte belongs to. Numbers, because they are compared for each byte.
const between = 0
const inString = 1
const inEscape = 2
const inNest = 3
const inScalar = 4

// What is expected between two values.
const anyValue = 0
const firstItem = 1
const item = 2
const comma = 3
const nothing = 4

/**
 * Splits the JSON values of a request stream while their bytes arrive in chunks of any size. Values come one on each line, one after
 * the other, or as the items of one array (when the first byte is a `[`). The splitter looks only at strings, brackets and the bytes
 * between values: parseJson() checks each value.
 *
 * Hand-written, because streaming parsers from npm parse every value in JavaScript although JSON.parse reads it again, and because
 * bytes and levels must be counted before anything is built.
 */
export class JsonSplitter {
  readonly #maxBytes: number
  readonly #maxDepth: number
  /** The bracket that closes each open level of the value. */
  readonly #closers: Uint8Array
  #depth = 0
  #state = between
  #expected: number = anyValue
  /** Whether the values are the items of one array. Its brackets belong to no value. */
  #array = false
  /** The buffered bytes of a value that began in an earlier chunk, and their number. */
  #held = new Uint8Array(0)
  #size = 0
  #failure: Fault | undefined

  constructor({maxBytes = 1024 * 1024, maxDepth = maxNesting}: SplitterOptions = {}) {
    this.#maxBytes = maxBytes
    this.#maxDepth = maxDepth
    this.#closers = new Uint8Array(maxDepth)
  }

  /** Whether the values are the items of an array, so that an empty array can be told from an empty body. Known after the first byte. */
  get isArray(): boolean {
    return this.#array
  }

  /** How many bytes of an incomplete value are buffered. */
  get held(): number {
    return this.#size
  }

  /**
   * The texts of the values that end in `bytes`. An error after these values is thrown by the next call, so that the chunk boundaries
   * make no difference.
   * @throws {Fault} 400 naming `body`; 413 for a value of more than maxBytes.
   */
  push(bytes: Uint8Array): string[] {
    if (this.#failure) throw this.#failure
    const values: string[] = []
    try {
      this.#scan(bytes, values)
    } catch (error) {
      this.#failure = error as Fault
      if (values.length === 0) throw error
    }
    return values
  }

  /** The last value, if only the end of the body ends it, as for a number. @throws {Fault} 400 for an incomplete value or array */
  end(): string[] {
    if (this.#failure) throw this.#failure
    const values: string[] = []
    if (this.#state === inScalar && !this.#array) this.#finish(new Uint8Array(0), 0, 0, values)
    if (this.#state !== between) refuse('the body ends within a value')
    if (this.#array && this.#expected !== nothing) refuse('the body ends within an array')
    return values
  }

  #scan(bytes: Uint8Array, values: string[]): void {
    // The start of the value's bytes that are not buffered yet.
    let start = 0
    let at = 0
    while (at < bytes.length) {
      const byte = bytes[at]!
      switch (this.#state) {
        case between:
          start = at++
          this.#begin(byte)
          break
        case inString: {
          at = endOfRun(bytes, at)
          if (at === bytes.length) break
          const quoted = bytes[at++] === quote
          if (!quoted) this.#state = inEscape
          else if (this.#depth > 0) this.#state = inNest
          else this.#finish(bytes, start, at, values)
          break
        }
        case inEscape:
          this.#state = inString
          at++
          break
        case inNest:
          at++
          if (byte === quote) this.#state = inString
          else if (byte === openBrace || byte === openBracket) this.#open(byte)
          else if (byte === closeBrace || byte === closeBracket) {
            this.#close(byte)
            if (this.#depth === 0) this.#finish(bytes, start, at, values)
          }
          break
        case inScalar:
          // The byte that ends a scalar is looked at again, as one between two values.
          if (endsScalar[byte]) this.#finish(bytes, start, at, values)
          else at++
          break
      }
      if (this.#state !== between && at - start + this.#size > this.#maxBytes) this.#tooLarge()
    }
    if (this.#state !== between) this.#hold(bytes, start, bytes.length)
  }

  /** Handles a byte between two values, or the first byte of one. */
  #begin(byte: number): void {
    if (isSpace(byte)) return
    if (this.#expected === nothing) refuse('something follows the array')
    if (byte === openBracket && this.#expected === anyValue && !this.#array) {
      this.#array = true
      this.#expected = firstItem
      return
    }
    if (this.#array && this.#between(byte)) return
    if (byte === quote) this.#state = inString
    else if (byte === openBrace || byte === openBracket) {
      this.#state = inNest
      this.#open(byte)
    } else if (startsScalar[byte]) this.#state = inScalar
    else refuse(`expected a value, found ${shown(byte)}`)
  }

  /** Whether `byte` is the array's own punctuation. If not, it begins an item. */
  #between(byte: number): boolean {
    if (byte === closeBracket && this.#expected !== item) {
      this.#expected = nothing
      return true
    }
    if (this.#expected !== comma) return false
    if (byte !== 0x2c) refuse(`expected "," or "]" between the items of an array, found ${shown(byte)}`)
    this.#expected = item
    return true
  }

  #open(byte: number): void {
    // The array around the items does not count as a level.
    if (this.#depth === this.#maxDepth) refuse(`a value nests deeper than ${this.#maxDepth} levels`)
    this.#closers[this.#depth++] = byte + 2
  }

  #close(byte: number): void {
    if (this.#closers[--this.#depth] !== byte) refuse(`${shown(byte)} closes what it did not open`)
  }

  #finish(bytes: Uint8Array, start: number, end: number, values: string[]): void {
    if (this.#size + end - start > this.#maxBytes) this.#tooLarge()
    const whole = this.#size === 0 ? bytes.subarray(start, end) : this.#hold(bytes, start, end)
    values.push(decodeUtf8(whole))
    this.#size = 0
    if (this.#held.length > mostKept) this.#held = new Uint8Array(0)
    this.#state = between
    this.#expected = this.#array ? comma : item
  }

  /** Buffers bytes that a later chunk will complete. Returns all buffered bytes. */
  #hold(bytes: Uint8Array, start: number, end: number): Uint8Array {
    const size = this.#size + end - start
    if (size > this.#held.length) {
      const larger = new Uint8Array(Math.min(this.#maxBytes, Math.max(1024, Math.ceil(1.5 * size))))
      larger.set(this.#held.subarray(0, this.#size))
      this.#held = larger
    }
    this.#held.set(bytes.subarray(start, end), this.#size)
    this.#size = size
    return this.#held.subarray(0, size)
  }

  #tooLarge(): never {
    throw new Fault(
      'RESOURCE_EXHAUSTED',
      `Cannot read the body: one of its values has more than ${this.#maxBytes} bytes`,
      {
        http: 413,
      },
    )
  }
}

/** Largest buffer that is kept for the next value, in bytes. */
const mostKept = 4096

const quote = 0x22
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** First bytes of numbers, true, false and null. parseJson() checks the rest. */
const startsScalar = bytesIn('-0123456789tfn')
const endsScalar = bytesIn(' \t\r\n,:"[]{}')

function bytesIn(chars: string): Uint8Array {
  const set = new Uint8Array(256)
  for (const char of chars) set[char.charCodeAt(0)] = 1
  return set
}

/** The position of the next quote or backslash. */
function endOfRun(bytes: Uint8Array, start: number): number {
  let at = start
  while (at < bytes.length && bytes[at] !== quote && bytes[at] !== backslash) at++
  return at
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function shown(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, '0')}`
}

function refuse(reason: string): never {
  throw Fault.invalid('body', `Cannot read the body as a stream of JSON: ${reason}`)
}

import {Fault} from '../../core/fault.ts'

/** Size of the prefix of each message, in bytes: one of flags, four of length (big-endian). */
export const prefixSize = 5

/** Flags of an envelope. */
export const compressedFlag = 0b0000_0001
/** Connect: the last message, with the status of the stream. */
export const endStreamFlag = 0b0000_0010
/** gRPC-Web: the trailers, with the status of the call. */
export const trailersFlag = 0b1000_0000

/** A message in its envelope. */
export interface Frame {
  readonly flags: number
  readonly data: Uint8Array
}

/** `data` in an envelope. */
export function framed(flags: number, data: Uint8Array): Uint8Array {
  const frame = new Uint8Array(prefixSize + data.length)
  frame[0] = flags
  new DataView(frame.buffer).setUint32(1, data.length)
  frame.set(data, prefixSize)
  return frame
}

/** `pieces` as one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces
  if (first && pieces.length === 1) return first
  const all = new Uint8Array(pieces.reduce((sum, {length}) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

/** Smallest size of the growing buffer, in bytes. */
const minGrowth = 4096

/** Splits the bytes of a request into envelopes while they arrive. Buffers grow with the received bytes, not with the announced length. */
export class FrameSplitter {
  readonly #check: (flags: number, length: number) => void
  readonly #prefix = new Uint8Array(prefixSize)
  #prefixed = 0
  #length = 0
  #data = new Uint8Array(0)
  #filled = 0

  /** @param check throws for flags and lengths that are not accepted, before any of the message is read */
  constructor(check: (flags: number, length: number) => void) {
    this.#check = check
  }

  /** Buffered bytes of an incomplete message. */
  get held(): number {
    return this.#prefixed + this.#filled
  }

  /** The messages that are completed by `bytes`. */
  push(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = []
    let at = 0
    while (at < bytes.length || (this.#prefixed === prefixSize && this.#length === 0)) {
      if (this.#prefixed < prefixSize) {
        at = this.#readPrefix(bytes, at)
        continue
      }
      const end = Math.min(bytes.length, at + this.#length - this.#filled)
      const part = bytes.subarray(at, end)
      at = end
      const data = this.#filled === 0 && part.length === this.#length ? part : this.#gathered(part)
      if (!data) break
      frames.push({flags: this.#prefix[0]!, data})
      this.#prefixed = 0
      this.#filled = 0
      this.#data = new Uint8Array(0)
    }
    return frames
  }

  /** @throws {Fault} 400 when the body ends within a message */
  end(): void {
    if (this.held === 0) return
    const missing = this.#prefixed < prefixSize ? 'its prefix' : `${this.#length - this.#filled} bytes of it`
    throw new Fault('INVALID_ARGUMENT', `Cannot read the request: it ends within a message, without ${missing}`)
  }

  #readPrefix(bytes: Uint8Array, start: number): number {
    const part = bytes.subarray(start, start + prefixSize - this.#prefixed)
    this.#prefix.set(part, this.#prefixed)
    this.#prefixed += part.length
    if (this.#prefixed === prefixSize) {
      this.#length = new DataView(this.#prefix.buffer).getUint32(1)
      this.#check(this.#prefix[0]!, this.#length)
    }
    return start + part.length
  }

  /** Buffers `part`. Returns the message once it is complete. */
  #gathered(part: Uint8Array): Uint8Array | undefined {
    const filled = this.#filled + part.length
    if (filled > this.#data.length) {
      // Once half of the message is there, allocate all of it.
      const enough = 2 * filled >= this.#length ? this.#length : Math.max(minGrowth, Math.ceil(1.5 * filled))
      const size = Math.min(this.#length, enough)
      const grown = new Uint8Array(size)
      grown.set(this.#data.subarray(0, this.#filled))
      this.#data = grown
    }
    this.#data.set(part, this.#filled)
    this.#filled = filled
    return filled === this.#length ? this.#data : undefined
  }
}

import {asBuffer, framed, prefixSize} from './grpc-internals.ts'

/** How many bytes of messages are gathered before they are written. */
const batchSize = 32 * 1024
/** How long messages are gathered before they are written and other requests get their turn, in ms. */
const batchTime = 5

/**
 * Messages that leave in one write. For each write grpc-js makes an HTTP/2 DATA frame, a system call and a dozen promises: of
 * two-byte messages, each written alone, that is nine tenths of what a stream costs.
 */
export class Batch {
  readonly #messages: Uint8Array[] = []
  readonly #began = performance.now()
  #size = 0

  add(message: Uint8Array): void {
    this.#messages.push(message)
    this.#size += prefixSize + message.length
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  /** Whether it is time to write: more would keep others waiting. */
  get isDue(): boolean {
    return this.#size >= batchSize || performance.now() - this.#began >= batchTime
  }

  /** What to write. */
  toMessage(): Buffer {
    const [first] = this.#messages
    return first && this.#messages.length === 1 ? asBuffer(first) : framed(this.#messages, this.#size)
  }
}

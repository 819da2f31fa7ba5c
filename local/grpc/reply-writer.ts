import type {ServerDuplexStream, ServerWritableStream} from '@grpc/grpc-js'

/** A call that accepts serialized replies. */
export type Replies = ServerWritableStream<unknown, Buffer> | ServerDuplexStream<unknown, Buffer>

/** Limit for buffered replies, in bytes, beyond which the handler has to wait. */
const maxWaiting = 64 * 1024

/** Writes to a call with backpressure. It counts bytes, while an object stream would count sixteen messages. */
export class ReplyWriter {
  readonly #call: Replies
  readonly #signal: AbortSignal
  #waiting = 0
  #room: (() => void) | undefined

  constructor(call: Replies, signal: AbortSignal) {
    this.#call = call
    this.#signal = signal
    // grpc-js calls back for no write after the end.
    signal.addEventListener('abort', () => this.#room?.())
  }

  /** Resolves when the next reply may be sent. Throws the signal's reason once the call is over. */
  async send(bytes: Buffer): Promise<void> {
    this.#signal.throwIfAborted()
    this.#waiting += bytes.length + 5
    this.#call.write(bytes, () => {
      this.#waiting -= bytes.length + 5
      if (this.#waiting < maxWaiting) this.#room?.()
    })
    if (this.#waiting < maxWaiting) return
    await new Promise<void>((resolve) => {
      this.#room = resolve
    })
    this.#signal.throwIfAborted()
  }
}

import type {ServerDuplexStream, ServerWritableStream} from '@grpc/grpc-js'

/** A call that takes replies, serialised. */
export type Replies = ServerWritableStream<unknown, Buffer> | ServerDuplexStream<unknown, Buffer>

/** Limit for replies in the buffer, in bytes: beyond it the handler is not asked for more. */
const maxWaiting = 64 * 1024

/** Writes to a call as fast as its caller reads. Counts bytes, where a stream of objects would count to sixteen. */
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

  /** Resolves when there is room for the next. Throws the signal's reason once the call is over. */
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

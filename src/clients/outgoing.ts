import {over} from '../core/life.ts'
import type {Call, Requests, Sendable} from './call.ts'

type Given = Sendable | Iterable<Sendable>

/** The requests of a call, over all of its attempts. */
export class Outgoing {
  readonly #call: Call
  readonly #end = new AbortController()
  #asked: ReturnType<Requests> | undefined
  #messages: AsyncIterator<Given> | undefined
  /** What is asked for ahead. */
  #next: Promise<IteratorResult<Given>> | undefined
  #first: Given | undefined
  #taken = 0
  #isWhole = false

  constructor(call: Call) {
    this.#call = call
  }

  /**
   * Begins an attempt: the requests where they are there at once.
   * @throws what the caller's function throws
   */
  begin(): Iterable<Sendable> | undefined {
    if (this.#messages) return undefined
    const requests = this.#call.requests(this.#end.signal)
    this.#asked = requests
    if (Symbol.iterator in requests) return requests as Iterable<Sendable>
    this.#messages = requests[Symbol.asyncIterator]()
    return undefined
  }

  /**
   * Whether another attempt can send them from the first one on. Of a stream only its first message is kept: a caller may
   * use the buffer of one again as soon as it is asked for the one after the next.
   */
  get canBegin(): boolean {
    if (!this.#messages) return !this.#asked || Array.isArray(this.#asked)
    return this.#taken < 2
  }

  /** The first request of a stream, when an earlier attempt has taken it. */
  get first(): Given | undefined {
    return this.#first
  }

  /** The next request of a stream; it is there until take(). */
  next(): Promise<IteratorResult<Given>> {
    if (!this.#next) this.#ask()
    return this.#next!
  }

  /** The next request has come: while it is on its way out, the one after it comes in. */
  take({done, value}: IteratorResult<Given>): void {
    if (done) {
      this.#isWhole = true
      return
    }
    this.#first = this.#taken++ === 0 && isKept(value) ? value : undefined
    if (this.#first === undefined) this.#taken = 2
    this.#ask()
  }

  /** The call has ended: nothing more is asked for. */
  close(): void {
    this.#end.abort(over)
    const messages = this.#messages
    if (messages && !this.#isWhole) {
      this.#call.life.track(Promise.try(() => messages.return?.()).catch(() => {}))
    }
  }

  #ask(): void {
    this.#next = this.#messages!.next()
    this.#next.catch(() => {})
  }
}

function isKept(value: Given): boolean {
  return !(Symbol.iterator in value) || value instanceof Uint8Array || Array.isArray(value)
}

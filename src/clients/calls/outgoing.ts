import {over} from '../../core/life.ts'
import type {Call, OnlyRequest, Requests, Sendable} from '../call.ts'

type Given = Sendable | Iterable<Sendable>

/** For functions that do not ask for a signal. */
const never = new AbortController().signal

/** The request messages of a call, over all of its attempts. */
export class Outgoing {
  readonly #call: Call
  #end: AbortController | undefined
  #asked: ReturnType<Requests> | undefined
  #messages: AsyncIterator<Given> | undefined
  /** The prefetched message. */
  #next: Promise<IteratorResult<Given>> | undefined
  #first: Given | undefined
  #taken = 0
  #isWhole = false

  constructor(call: Call) {
    this.#call = call
  }

  /**
   * Begins an attempt. Returns the messages if all are ready; undefined for a stream.
   * @throws any error of the caller's function
   */
  begin(): OnlyRequest | Iterable<Sendable> | undefined {
    if (this.#messages) return undefined
    const {requests} = this.#call
    // The function of a unary call takes no signal, so none is created.
    if (requests.length > 0) this.#end ??= new AbortController()
    const asked = requests(this.#end?.signal ?? never)
    this.#asked = asked
    if ('isKept' in asked || Symbol.iterator in asked) return asked
    this.#messages = asked[Symbol.asyncIterator]()
    return undefined
  }

  /**
   * Whether another attempt can send the messages from the start. Only the first message of a stream is kept: the caller may
   * reuse a buffer once the message after the next is requested.
   */
  get canBegin(): boolean {
    if (!this.#messages) return !this.#asked || isKept(this.#asked)
    return this.#taken < 2
  }

  /** The first message of a stream, if an earlier attempt has taken it. */
  get first(): Given | undefined {
    return this.#first
  }

  /** The next message of a stream. It stays the same until take(). */
  next(): Promise<IteratorResult<Given>> {
    if (!this.#next) this.#ask()
    return this.#next!
  }

  /** Takes the next message, and prefetches the one after it while this one is sent. */
  take({done, value}: IteratorResult<Given>): void {
    if (done) {
      this.#isWhole = true
      return
    }
    this.#first = this.#taken++ === 0 && (isOne(value) || isKept(value)) ? value : undefined
    if (this.#first === undefined) this.#taken = 2
    this.#ask()
  }

  /** Drops what is kept for another attempt, because there will be none. */
  forget(): void {
    if (this.#asked && 'begin' in this.#asked) this.#asked.forget()
    this.#first = undefined
    this.#taken = 2
  }

  /** Ends the source: the call has ended. */
  close(): void {
    this.#end?.abort(over)
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

function isOne(value: Given): value is Sendable {
  return !(Symbol.iterator in value) || value instanceof Uint8Array
}

function isKept(messages: object): boolean {
  return Array.isArray(messages) || ('isKept' in messages && messages.isKept === true)
}

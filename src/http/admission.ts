import type {Limits} from '../core/config.ts'
import {Fault} from '../core/fault.ts'

/** The place where an instance refuses what is too much for it, with 429: each limit has a reason of its own. */
export class Admission {
  readonly #limits: Limits
  #requests = 0
  #bytes = 0

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Requests that were taken in and are not over. */
  get requests(): number {
    return this.#requests
  }

  /** Bytes of request bodies that are held. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Takes a request in; leave() must be called when it is over.
   * @throws {Fault} 429 when as many are being answered as may be
   */
  enter(): void {
    const {concurrentRequests: limit} = this.#limits
    if (this.#requests >= limit) {
      throw tooMuch(`The instance answers ${limit} requests already`, {
        reason: 'CONCURRENT_REQUESTS_EXCEEDED',
        setting: 'MAX_CONCURRENT_REQUESTS',
        limit,
      })
    }
    this.#requests++
  }

  leave(): void {
    this.#requests--
  }

  /**
   * Refuses what would be too much beside what others hold. Alone a body has only its own limit: there is always a way on.
   * @throws {Fault} 429 when there is no room for `more` bytes of a request that holds `held`
   */
  refuseBeyond(more: number, held: number): void {
    const {decodingBytes: limit} = this.#limits
    if (this.#bytes + more <= limit || this.#bytes === held) return
    throw tooMuch('The instance has no room for more of request bodies', {
      reason: 'DECODING_BYTES_EXCEEDED',
      setting: 'GATEWAY_MAX_DECODING_BYTES',
      limit,
    })
  }

  /** Books `bytes` more, or less. */
  book(bytes: number): void {
    this.#bytes += bytes
  }
}

/** What an admission is made for: a runtime. */
interface Limited {
  readonly config: {readonly limits: Limits}
}

const admissions = new WeakMap<Limited, Admission>()

/** The admission of `runtime`: one for all of its functions. */
export function admissionOf(runtime: Limited): Admission {
  let admission = admissions.get(runtime)
  if (!admission) {
    admission = new Admission(runtime.config.limits)
    admissions.set(runtime, admission)
  }
  return admission
}

/** What an instance holds of one request's body: bytes that have arrived and are not decoded and passed on. */
export class BodyAccount {
  readonly #admission: Admission
  #held = 0
  #closed = false

  constructor(admission: Admission) {
    this.#admission = admission
  }

  /**
   * Says how many bytes are held from now on.
   * @throws {Fault} 429 when they are more than before, and the instance has no room for them: nothing has changed then
   */
  hold(bytes: number): void {
    if (this.#closed) return
    const more = bytes - this.#held
    if (more > 0) this.#admission.refuseBeyond(more, this.#held)
    this.#admission.book(more)
    this.#held = bytes
  }

  /**
   * Says how many bytes will come: without room for them they need not be received.
   * @throws {Fault} 429
   */
  expect(bytes: number): void {
    this.#admission.refuseBeyond(bytes, this.#held)
  }

  /** Nothing is held from now on, whatever is said. */
  close(): void {
    this.hold(0)
    this.#closed = true
  }
}

/** How long a caller is asked to wait, in seconds. */
const retryAfter = 1

interface Excess {
  readonly reason: string
  /** The variable that sets the limit. */
  readonly setting: string
  readonly limit: number
}

function tooMuch(message: string, {reason, setting, limit}: Excess): Fault {
  return new Fault('RESOURCE_EXHAUSTED', `${message}: try again`, {
    reason,
    metadata: {limit: String(limit)},
    retryAfter,
    hint: `${setting} is the limit`,
  })
}

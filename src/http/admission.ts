import type {Limits} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {RateCount, RateLimit, RateLimitStore} from '../core/rate-limit.ts'
import {MemoryRates, rateHeaders, refuseBeyondRate} from './rate-limit.ts'

/** The place where an instance refuses what is too much for it, with 429: each limit has a reason of its own. */
export class Admission {
  readonly #limits: Limits
  #requests = 0
  #bytes = 0
  readonly #arriving = new Set<BodyAccount>()
  readonly #rateLimit: RateLimit | undefined
  readonly #rates: RateLimitStore

  constructor({limits, rateLimit}: Limited['config'], rates: RateLimitStore = new MemoryRates()) {
    this.#limits = limits
    this.#rateLimit = rateLimit
    this.#rates = rates
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
   * Counts a request of `caller`.
   * @param tell gets headers of the response, whatever it will be
   * @throws {Fault} 429 when the caller has sent as many as it may
   */
  rate(caller: () => string, tell: (headers: Record<string, string>) => void): void | Promise<void> {
    const limit = this.#rateLimit
    if (!limit) return
    const judge = (count: RateCount) => {
      tell(rateHeaders(limit, count))
      refuseBeyondRate(limit, count)
    }
    const count = this.#rates.count(caller(), limit.window)
    return count instanceof Promise ? count.then(judge) : judge(count)
  }

  /**
   * Refuses what would be too much beside what others hold. A body that comes so slowly that it only takes others' room
   * gives way. Alone a body has only its own limit: there is always a way on.
   * @throws {Fault} 429 when there is no room for `more` bytes of a request that holds `held`
   */
  refuseBeyond(more: number, held: number): void {
    const hasRoom = () => this.#bytes + more <= this.#limits.decodingBytes || this.#bytes === held
    if (hasRoom()) return
    for (const account of this.#arriving) account.giveWay()
    if (hasRoom()) return
    throw tooMuch('The instance has no room for more of request bodies', {
      reason: 'DECODING_BYTES_EXCEEDED',
      setting: 'GATEWAY_MAX_DECODING_BYTES',
      limit: this.#limits.decodingBytes,
    })
  }

  /** Books `bytes` more, or less, of an account that waits for the rest of them or does not. */
  book(account: BodyAccount, bytes: number, isArriving: boolean): void {
    this.#bytes += bytes
    if (isArriving) this.#arriving.add(account)
    else this.#arriving.delete(account)
  }
}

/** What an admission is made for: a runtime. */
interface Limited {
  readonly config: {readonly limits: Limits; readonly rateLimit: RateLimit | undefined}
  /** Where callers are counted; in this instance unless given. */
  readonly rateLimits?: RateLimitStore | undefined
}

const admissions = new WeakMap<Limited, Admission>()

/** The admission of `runtime`: one for all of its functions. */
export function admissionOf(runtime: Limited): Admission {
  let admission = admissions.get(runtime)
  if (!admission) {
    admission = new Admission(runtime.config, runtime.rateLimits)
    admissions.set(runtime, admission)
  }
  return admission
}

/** How long a body has before it may have to give way, in ms, and how fast it must come then, in bytes per ms. */
const patience = 5000
const leastSpeed = 16

/** What an instance holds of one request's body: bytes that have arrived and are not decoded and passed on. */
export class BodyAccount {
  readonly #admission: Admission
  readonly #fail: (fault: Fault) => void
  #held = 0
  /** Since when the rest of what is held is waited for, in ms since the epoch. */
  #since: number | undefined
  #closed = false

  /** @param fail ends the request */
  constructor(admission: Admission, fail: (fault: Fault) => void) {
    this.#admission = admission
    this.#fail = fail
  }

  /**
   * Says how many bytes are held from now on.
   * @throws {Fault} 429 when they are more than before, and the instance has no room for them: nothing has changed then
   */
  hold(bytes: number): void {
    this.#book(bytes, undefined)
  }

  /** As hold(), of something whose rest is yet to come. @throws {Fault} 429 */
  holdPart(bytes: number): void {
    this.#book(bytes, bytes > 0 ? (this.#since ?? Date.now()) : undefined)
  }

  /**
   * Says how many bytes will come: without room for them they need not be received.
   * @throws {Fault} 429
   */
  expect(bytes: number): void {
    this.#admission.refuseBeyond(bytes, this.#held)
  }

  /** Ends the request if its body comes too slowly. */
  giveWay(): void {
    const waited = Date.now() - (this.#since ?? Number.POSITIVE_INFINITY)
    if (waited <= patience || this.#held >= leastSpeed * waited) return
    this.close()
    this.#fail(tooSlow())
  }

  /** Nothing is held from now on, whatever is said. */
  close(): void {
    this.hold(0)
    this.#closed = true
  }

  #book(bytes: number, since: number | undefined): void {
    if (this.#closed) return
    const more = bytes - this.#held
    if (more > 0) this.#admission.refuseBeyond(more, this.#held)
    // Whoever makes room may have ended this one.
    if (this.#closed) return
    this.#admission.book(this, more, since !== undefined)
    this.#held = bytes
    this.#since = since
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

function tooSlow(): Fault {
  return new Fault('RESOURCE_EXHAUSTED', 'The body comes slowly, and others need the room that it takes: try again', {
    reason: 'BODY_TOO_SLOW',
    retryAfter,
    hint: 'GATEWAY_MAX_DECODING_BYTES is the limit',
  })
}

import type {Limits} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {RateCount, RateLimit, RateLimitStore} from '../core/rate-limit.ts'
import {MemoryRates, rateHeaders, refuseBeyondRate} from './rate-limit.ts'

/** Refuses requests beyond the limits of an instance with 429. Each limit has its own `reason`. */
export class Admission {
  readonly #limits: Limits
  #requests = 0
  #bytes = 0
  readonly #arriving = new Set<BodyAccount>()
  /** Accounts that only keep sent bytes, the oldest first. */
  readonly #keeping = new Set<BodyAccount>()
  #kept = 0
  readonly #rateLimit: RateLimit | undefined
  readonly #rates: RateLimitStore

  constructor({limits, rateLimit}: Limited['config'], rates: RateLimitStore = new MemoryRates()) {
    this.#limits = limits
    this.#rateLimit = rateLimit
    this.#rates = rates
  }

  /** Admitted requests that have not ended. */
  get requests(): number {
    return this.#requests
  }

  /** Bytes of request bodies in memory, without sent ones that are only kept for a retry. */
  get bytes(): number {
    return this.#bytes
  }

  /** Sent bytes that are kept for a retry until others need the room. */
  get kept(): number {
    return this.#kept
  }

  /**
   * Admits a request. Call leave() when it has ended.
   * @throws {Fault} 429 at the limit of concurrent requests
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
   * @param tell gets headers for the response, whether it is a failure or not
   * @throws {Fault} 429 beyond the caller's rate limit
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
   * Refuses bytes beyond the limit of all bodies together. A request whose body arrives very slowly is aborted to make room for others.
   * A single body has only its own limit, so that one request can always proceed.
   * @throws {Fault} 429 without room for `more` bytes of a request that holds `held` bytes
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

  /** Adds `bytes`, or subtracts them if negative, for an account that does or does not wait for the rest of its body. */
  book(account: BodyAccount, bytes: number, isArriving: boolean): void {
    this.#bytes += bytes
    if (isArriving) this.#arriving.add(account)
    else this.#arriving.delete(account)
    if (bytes > 0) this.#makeRoom()
  }

  /** Counts the bytes that an account keeps. */
  keep(account: BodyAccount): void {
    this.#keeping.add(account)
    this.#kept += account.kept
    this.#makeRoom()
  }

  /** Must be called before the account drops the bytes that it keeps. */
  unkeep(account: BodyAccount): void {
    if (this.#keeping.delete(account)) this.#kept -= account.kept
  }

  #makeRoom(): void {
    for (const account of this.#keeping) {
      if (this.#bytes + this.#kept <= this.#limits.decodingBytes) return
      account.drop()
    }
  }
}

/** The parts of a runtime that an admission needs. */
interface Limited {
  readonly config: {readonly limits: Limits; readonly rateLimit: RateLimit | undefined}
  /** The store of the callers' counts; default: the memory of this instance. */
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

/** Grace period before a request with a slow body may be aborted, in ms, and the required rate after it, in bytes per ms. */
const patience = 5000
const leastSpeed = 16

/** The bytes of one request's body in memory: received, but not yet decoded and passed on. */
export class BodyAccount {
  readonly #admission: Admission
  readonly #fail: (fault: Fault) => void
  #held = 0
  #kept = 0
  #onDrop: (() => void) | undefined
  /** When the wait for the rest of the body began, in ms since the epoch. */
  #since: number | undefined
  #closed = false

  /** @param fail aborts the request */
  constructor(admission: Admission, fail: (fault: Fault) => void) {
    this.#admission = admission
    this.#fail = fail
  }

  /**
   * Sets the number of bytes in memory.
   * @throws {Fault} 429 when it grows and the instance has no room: then nothing changes
   */
  hold(bytes: number): void {
    this.#book(bytes, undefined)
  }

  /** Like hold(), for an incomplete part. @throws {Fault} 429 */
  holdPart(bytes: number): void {
    this.#book(bytes, bytes > 0 ? (this.#since ?? Date.now()) : undefined)
  }

  /** Bytes that are kept for a retry. */
  get kept(): number {
    return this.#kept
  }

  /** Keeps `bytes` in place of those in memory. `onDrop` is called when others need the room, and has to free them. */
  keep(bytes: number, onDrop: () => void): void {
    this.hold(0)
    if (this.#closed) return
    this.#kept = bytes
    this.#onDrop = onDrop
    this.#admission.keep(this)
  }

  /** Frees the bytes that are kept. */
  drop(): void {
    const onDrop = this.#onDrop
    this.#unkeep()
    onDrop?.()
  }

  /**
   * Announces the size of the body, so that one without room is refused before it is received.
   * @throws {Fault} 429
   */
  expect(bytes: number): void {
    this.#admission.refuseBeyond(bytes, this.#held)
  }

  /** Aborts the request if its body arrives too slowly. */
  giveWay(): void {
    const waited = Date.now() - (this.#since ?? Number.POSITIVE_INFINITY)
    if (waited <= patience || this.#held >= leastSpeed * waited) return
    this.close()
    this.#fail(tooSlow())
  }

  /** Frees all bytes, and ignores later calls. */
  close(): void {
    this.hold(0)
    this.#closed = true
  }

  #unkeep(): void {
    if (!this.#onDrop) return
    this.#admission.unkeep(this)
    this.#kept = 0
    this.#onDrop = undefined
  }

  #book(bytes: number, since: number | undefined): void {
    if (this.#closed) return
    this.#unkeep()
    const more = bytes - this.#held
    if (more > 0) this.#admission.refuseBeyond(more, this.#held)
    // Making room may have aborted this request.
    if (this.#closed) return
    this.#admission.book(this, more, since !== undefined)
    this.#held = bytes
    this.#since = since
  }
}

/** `Retry-After`, in seconds. */
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

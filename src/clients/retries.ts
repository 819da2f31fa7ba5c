import {MethodOptions_IdempotencyLevel as Level} from '@bufbuild/protobuf/wkt'
import {type StatusObject, status} from '@grpc/grpc-js'
import {pause} from '../core/waiting.ts'
import {authorize} from './authorization.ts'
import type {Call} from './call.ts'
import type {Exchange} from './exchange.ts'
import type {Outgoing} from './outgoing.ts'
import type {RetryBudget} from './retry-budget.ts'
import {frontEndStatusOf, wasBroken} from './status.ts'

/** How often a call is made at the most. */
const mostAttempts = 6
/** The first pause, in ms; each further one is twice as long. */
const firstPause = 25

/** The attempts of one call. A call is made again only where that cannot do twice what should be done once. */
export class Retries {
  readonly #call: Call
  readonly #budget: RetryBudget
  readonly #outgoing: Outgoing
  #attempts = 1
  #hasNewToken = false

  constructor(call: Call, budget: RetryBudget, outgoing: Outgoing) {
    this.#call = call
    this.#budget = budget
    this.#outgoing = outgoing
  }

  /**
   * Waits until it is time for another attempt, and prepares it; false: there must be none.
   * @throws {Fault} when there is no new ID token to be had, or the signal's reason
   */
  async again(exchange: Exchange): Promise<boolean> {
    const end = exchange.end!
    if (exchange.cause !== undefined || !this.#outgoing.canBegin || this.#attempts >= mostAttempts) return false
    const isRetried = this.#isTurnedAway(end) ? await this.#renewToken() : await this.#waitFor(exchange, end)
    if (isRetried) {
      const call = this.#call
      call.header = undefined
      call.trailer = undefined
      call.metadata.set('grpc-previous-rpc-attempts', String(this.#attempts++))
    }
    return isRetried
  }

  /** The front end takes no call with a token that it does not know: none has reached a handler. */
  #isTurnedAway(end: StatusObject): boolean {
    return frontEndStatusOf(end, this.#call) === 401 && this.#call.idToken !== undefined
  }

  async #renewToken(): Promise<boolean> {
    const {runtime, backend, idToken} = this.#call
    if (this.#hasNewToken || !backend.audience || !idToken) return false
    this.#hasNewToken = true
    runtime.idTokens.for(backend.audience).forget(idToken)
    await authorize(this.#call)
    return this.#call.idToken !== idToken
  }

  async #waitFor(exchange: Exchange, end: StatusObject): Promise<boolean> {
    const asked = pushbackOf(end)
    if (asked === 'never') return false
    if (!exchange.isUnseen && !(isRepeatable(this.#call) && this.#mayPass(end))) return false
    // What was refused once goes elsewhere at once: to a connection that takes it.
    const isFree = exchange.isUnseen && this.#attempts === 1 && asked === undefined
    if (isFree) return Date.now() < this.#call.deadline
    const grown = firstPause * 2 ** (this.#attempts - 1) * (0.5 + Math.random())
    const ms = asked ?? grown
    if (Date.now() + ms >= this.#call.deadline || !this.#budget.take()) return false
    await pause(ms, this.#call.life.signal)
    return true
  }

  /** Whether the same call may succeed in a while, and nothing of an answer has come. */
  #mayPass(end: StatusObject): boolean {
    const call = this.#call
    const http = frontEndStatusOf(end, call)
    if (http !== undefined) return http === 429 || (http >= 502 && http <= 504)
    if (call.header) return false
    return end.code === status.UNAVAILABLE || wasBroken(end, call)
  }
}

/** Whether the proto says that a method may be called twice. */
function isRepeatable({method}: Call): boolean {
  return method.idempotency === Level.NO_SIDE_EFFECTS || method.idempotency === Level.IDEMPOTENT
}

/** What the server says of retries, as gRFC A6 has it: a pause in ms; anything else that it says is no. */
function pushbackOf({metadata}: StatusObject): number | 'never' | undefined {
  const [value] = metadata.get('grpc-retry-pushback-ms')
  if (value === undefined) return undefined
  return /^\d{1,9}$/.test(String(value)) ? Number(value) : 'never'
}

import {MethodOptions_IdempotencyLevel as Level} from '@bufbuild/protobuf/wkt'
import {type StatusObject, status} from '@grpc/grpc-js'
import {pause} from '../../core/waiting.ts'
import {answersMany, type Call} from '../call.ts'
import {authorize} from '../identity/authorization.ts'
import {frontEndStatusOf, wasBroken} from '../status.ts'
import type {Exchange} from './exchange.ts'
import type {Outgoing} from './outgoing.ts'
import type {RetryBudget} from './retry-budget.ts'

/** Limit for the attempts of one call. */
const mostAttempts = 6
/** The first pause, in ms. Each further one is twice as long. */
const firstPause = 25

/** Decides about further attempts of one call. A call is repeated only if it cannot take effect twice. */
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
   * Waits until it is time for another attempt, and prepares it. Returns false if there must be none.
   * @throws {Fault} when no new ID token can be obtained, or the signal's reason
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

  /** Whether the front end has refused the token: then the call has reached no handler. */
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
    // After the first refusal the call goes to another connection at once.
    const isFree = exchange.isUnseen && this.#attempts === 1 && asked === undefined
    if (isFree) return Date.now() < this.#call.deadline
    const grown = firstPause * 2 ** (this.#attempts - 1) * (0.5 + Math.random())
    const ms = asked ?? grown
    if (Date.now() + ms >= this.#call.deadline) return false
    // The call puts no load on a server that ends its connection.
    const isCounted = !exchange.isUnseen || !exchange.hasLostConnection
    if (isCounted && !this.#budget.take()) return false
    await pause(ms, this.#call.life.signal)
    return true
  }

  /** Whether the same call may succeed later, and no part of a response has been passed on. */
  #mayPass(end: StatusObject): boolean {
    const call = this.#call
    const http = frontEndStatusOf(end, call)
    if (http !== undefined) return http === 429 || (http >= 502 && http <= 504)
    // An only answer is passed on after the status: until then, the end of the connection has taken nothing from the caller.
    if (call.header) return !answersMany(call.method) && wasBroken(end, call)
    return end.code === status.UNAVAILABLE || wasBroken(end, call)
  }
}

/** Whether the method's proto declares it idempotent. */
function isRepeatable({method}: Call): boolean {
  return method.idempotency === Level.NO_SIDE_EFFECTS || method.idempotency === Level.IDEMPOTENT
}

/** The server's pushback (gRFC A6): a pause in ms. Any other value forbids retries. */
function pushbackOf({metadata}: StatusObject): number | 'never' | undefined {
  const [value] = metadata.get('grpc-retry-pushback-ms')
  if (value === undefined) return undefined
  return /^\d{1,9}$/.test(String(value)) ? Number(value) : 'never'
}

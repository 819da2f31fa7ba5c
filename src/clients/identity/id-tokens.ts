import {Fault} from '../../core/fault.ts'
import {type Life, over} from '../../core/life.ts'
import {telemetry} from '../../core/telemetry/telemetry.ts'
import {explainLateness} from '../../core/waiting.ts'
import type {CredentialsSource} from './credentials.ts'

interface Token {
  readonly value: string
  /** In ms since the epoch. */
  readonly expires: number
  /** From this time on the token should be refreshed, in ms since the epoch. */
  readonly stale: number
}

/** A token is refreshed this long before it expires, in ms, but not before half of its lifetime. */
const refreshBefore = 5 * 60_000
/** Limit for waiting for a new token while the old one is still valid, in ms; at most half of the time left. */
const patience = 2000
/** Pause after a failed refresh, in ms. */
const pauseAfterFailure = 10_000
/** Age of an attempt, in ms, after which the next caller starts another one, because the first may have hung. */
const patienceOfOthers = 1000

/** The attempts to get one token. */
interface Fetch {
  readonly promise: Promise<Token>
  resolve(token: Token): void
  reject(error: unknown): void
  /** Cancels the attempts. */
  readonly end: AbortController
  /** Number of waiting callers. */
  waiting: number
  /** Number of attempts in progress. */
  attempts: number
  /** Whether the last attempt is so old that the next caller starts another one. */
  isLate: boolean
  timer: NodeJS.Timeout | undefined
}

/** A caller that waits for a token, with its deadline and signal. Its log is read only for a line: it is made when first read. */
type Waiter = Pick<Life, 'signal' | 'deadline' | 'log'>

/** The ID token for one audience, fetched at first use and shared by all requests of the instance. */
export class IdTokenSource {
  readonly #audience: string
  readonly #credentials: CredentialsSource
  #token: Token | undefined
  #fetch: Fetch | undefined
  #notBefore = 0
  /** The token that `#bearer` has. */
  #inBearer = ''
  #bearer = ''

  constructor(audience: string, credentials: CredentialsSource) {
    this.#audience = audience
    this.#credentials = credentials
  }

  /** Whether there is a token that can be used without waiting. */
  get isFresh(): boolean {
    return this.#token !== undefined && Date.now() < this.#token.stale
  }

  /**
   * A valid token. Near its expiry it is refreshed here, within a request, never in the background. All waiting callers share
   * one fetch, which is aborted when the last of them gives up.
   * @throws {Fault} UNAVAILABLE when no token can be obtained, DEADLINE_EXCEEDED when none arrives in time
   */
  async token(waiter: Waiter, deadline = waiter.deadline): Promise<string> {
    const now = Date.now()
    const token = this.#token
    if (token && now < token.stale) return token.value
    if (!token || now >= token.expires) return (await this.#wait(waiter, deadline)).value
    if (now < this.#notBefore) return token.value
    try {
      const until = now + Math.min(patience, (deadline - now) / 2)
      return (await this.#wait(waiter, until)).value
    } catch (error) {
      if (waiter.signal.aborted || Date.now() >= token.expires) throw error
      this.#notBefore = Date.now() + pauseAfterFailure
      waiter.log.warn(
        {err: error},
        `The ID token for "${this.#audience}" could not be refreshed: using the one that expires at ${new Date(token.expires).toISOString()}`,
      )
      return token.value
    }
  }

  /** The header with `token`: the same string for all calls, because a token has about 1 KB, and a call holds it until its end. */
  bearer(token: string): string {
    if (token !== this.#inBearer) {
      this.#inBearer = token
      this.#bearer = `Bearer ${token}`
    }
    return this.#bearer
  }

  /** The backend has refused `token`: the next request fetches a new one, unless another call has already done so. */
  forget(token: string): void {
    if (this.#token?.value === token) this.#token = undefined
  }

  async #wait({signal}: Waiter, until: number): Promise<Token> {
    this.#fetch ??= this.#begin()
    const fetch = this.#fetch
    if (fetch.isLate) this.#try(fetch)
    fetch.waiting++
    const giveUp = Promise.withResolvers<never>()
    const onAbort = () => giveUp.reject(signal.reason)
    const timer = setTimeout(() => giveUp.reject(this.#late()), Math.max(0, Math.min(until - Date.now(), 2 ** 31 - 1)))
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, {once: true})
    using _ = explainLateness(signal, () => this.#late())
    try {
      return await Promise.race([fetch.promise, giveUp.promise])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      if (--fetch.waiting === 0) {
        if (this.#fetch === fetch) this.#fetch = undefined
        clearTimeout(fetch.timer)
        fetch.end.abort(over)
      }
    }
  }

  #begin(): Fetch {
    const {promise, resolve, reject} = Promise.withResolvers<Token>()
    const end = new AbortController()
    const fetch: Fetch = {promise, resolve, reject, end, waiting: 0, attempts: 0, isLate: false, timer: undefined}
    this.#try(fetch)
    promise
      .then(
        (token) => {
          this.#token = token
        },
        () => {},
      )
      .finally(() => {
        if (this.#fetch?.end === end) this.#fetch = undefined
        clearTimeout(fetch.timer)
        end.abort(over)
      })
    return fetch
  }

  /** The first attempt that succeeds, or the last one that fails, settles for all waiting callers. */
  #try(fetch: Fetch): void {
    const isGood = this.#token !== undefined && Date.now() < this.#token.expires
    fetch.attempts++
    fetch.isLate = false
    clearTimeout(fetch.timer)
    fetch.timer = setTimeout(() => {
      fetch.isLate = true
    }, patienceOfOthers)
    this.#fetchToken({signal: fetch.end.signal, once: isGood}).then(fetch.resolve, (error) => {
      if (--fetch.attempts === 0) fetch.reject(error)
    })
  }

  async #fetchToken(options: {signal: AbortSignal; once: boolean}): Promise<Token> {
    try {
      const value = (await (await this.#credentials()).idToken(this.#audience, options)).trim()
      const expires = expiryOf(value)
      telemetry()?.count('id token')
      const now = Date.now()
      return {value, expires, stale: expires - Math.min(refreshBefore, (expires - now) / 2)}
    } catch (cause) {
      throw new Fault('UNAVAILABLE', 'Cannot get an ID token for the backend', {
        cause,
        reason: 'ID_TOKEN_UNAVAILABLE',
        retryAfter: 1,
        hint: `the audience is "${this.#audience}"${cause instanceof Fault && cause.hint ? `: ${cause.hint}` : ''}`,
      })
    }
  }

  #late(): Fault {
    return new Fault('DEADLINE_EXCEEDED', 'No ID token for the backend in time', {
      reason: 'ID_TOKEN_UNAVAILABLE',
      hint: `the audience is "${this.#audience}"`,
    })
  }
}

/** The ID tokens of one runtime: one source for each audience, made at first use and shared by all requests. */
export class IdTokens {
  readonly #credentials: CredentialsSource
  readonly #sources = new Map<string, IdTokenSource>()

  constructor(credentials: CredentialsSource) {
    this.#credentials = credentials
  }

  /** The source of ID tokens for `audience`. */
  for(audience: string): IdTokenSource {
    let source = this.#sources.get(audience)
    if (!source) {
      source = new IdTokenSource(audience, this.#credentials)
      this.#sources.set(audience, source)
    }
    return source
  }
}

/** When a JWT expires, in ms since the epoch. The backend checks the signature. */
function expiryOf(jwt: string): number {
  const [, payload] = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(jwt) ?? []
  if (!payload) throw new Error('What came as an ID token is none')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {exp?: unknown}
  if (typeof claims.exp !== 'number') throw new Error('The ID token does not say when it expires')
  return claims.exp * 1000
}

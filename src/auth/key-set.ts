import type {CryptoKey, JWSHeaderParameters} from 'jose'
import type {IssuerConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {over} from '../core/life.ts'
import {atMost, within} from '../core/waiting.ts'
import {getJson} from './get-json.ts'
import {unauthenticated} from './refusals.ts'

/** How long the keys of an issuer are cached, and how often they are fetched, in ms. */
export interface KeySetTimes {
  /** Age of keys at which they are fetched again. */
  readonly fresh: number
  /** Maximum age of keys while the issuer is unavailable. */
  readonly kept: number
  /** Minimum interval between two fetches, unless there are no keys at all. */
  readonly coolDown: number
  /** How long a request waits for new keys when it could use cached ones. */
  readonly patience: number
  /** Timeout of a fetch. */
  readonly timeout: number
}

const minute = 60_000

/** The values of jose's remote key sets, which do not keep keys while an issuer is unavailable. */
const usual: KeySetTimes = {fresh: 10 * minute, kept: 1440 * minute, coolDown: 30_000, patience: 1000, timeout: 5000}

/** A fetch under way. */
interface Fetch {
  readonly promise: Promise<void>
  readonly end: AbortController
  /** In ms since the epoch, as the one before it. */
  readonly beganAt: number
  readonly triedBefore: number
  /** How many requests wait for it. */
  waiting: number
}

/** Finds the keys for a token's header: none for an unknown key id. */
type Lookup = (header: JWSHeaderParameters) => Promise<readonly CryptoKey[]>

/**
 * The public keys of one issuer. They are fetched during a request, never in the background. All waiting requests share one fetch,
 * which is cancelled when the last of them has ended.
 */
export class KeySet {
  readonly #issuer: IssuerConfig
  readonly #times: KeySetTimes
  #lookup: Lookup | undefined
  #fetchedAt = 0
  #triedAt = 0
  #failed = false
  #location: URL | undefined
  #fetch: Fetch | undefined

  constructor(issuer: IssuerConfig, times: Partial<KeySetTimes> = {}) {
    this.#issuer = issuer
    this.#times = {...usual, ...times}
  }

  /**
   * The keys that may have signed a token with `header`: usually one.
   * @throws {Fault} 401 if the issuer has no such key, 503 if the issuer is unavailable, or the signal's reason
   */
  async keysFor(header: JWSHeaderParameters, signal: AbortSignal): Promise<readonly CryptoKey[]> {
    const {fresh, kept, patience} = this.#times
    const age = Date.now() - this.#fetchedAt
    if (!this.#lookup || age > kept) await this.#refresh(signal)
    else if (age > fresh && this.#mayAsk()) await atMost(patience, this.#refresh(signal)).catch(() => {})
    const found = await this.#lookup!(header)
    if (found.length > 0) return found
    if (this.#mayAsk()) await this.#refresh(signal)
    else if (this.#failed) throw this.#away(new Error('The last fetch failed, and the next one has to wait'))
    const later = await this.#lookup!(header)
    if (later.length === 0)
      throw unauthenticated(`"${this.#issuer.issuer}" has no key that the token can be signed with`)
    return later
  }

  #mayAsk(): boolean {
    return this.#fetch !== undefined || Date.now() - this.#triedAt >= this.#times.coolDown
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    this.#fetch ??= this.#begin()
    const fetch = this.#fetch
    fetch.waiting++
    try {
      await within(signal, fetch.promise)
    } finally {
      if (--fetch.waiting === 0) this.#breakOff(fetch)
    }
  }

  #begin(): Fetch {
    const end = new AbortController()
    const beganAt = Date.now()
    const promise = this.#ask(AbortSignal.any([end.signal, AbortSignal.timeout(this.#times.timeout)]), beganAt)
    const fetch: Fetch = {promise, end, beganAt, triedBefore: this.#triedAt, waiting: 0}
    const settle = () => {
      if (this.#fetch === fetch) this.#fetch = undefined
    }
    promise.then(settle, settle)
    this.#triedAt = beganAt
    return fetch
  }

  /** Ends `fetch`, unless it has ended. Callers who hang up at once do not keep others from asking during a cool-down. */
  #breakOff(fetch: Fetch): void {
    if (this.#fetch === fetch) {
      this.#fetch = undefined
      if (!this.#isTry(fetch)) this.#triedAt = fetch.triedBefore
    }
    fetch.end.abort(over)
  }

  /** Whether a fetch that is broken off now says something of the issuer: it had time to answer. */
  #isTry({beganAt}: Pick<Fetch, 'beganAt'>): boolean {
    return Date.now() - beganAt >= this.#times.patience
  }

  async #ask(signal: AbortSignal, beganAt: number): Promise<void> {
    try {
      this.#location ??= await this.#discover(signal)
      this.#lookup = await lookupIn(await getJson(this.#location, signal))
      this.#fetchedAt = Date.now()
      this.#failed = false
    } catch (cause) {
      // The URL of the keys may have changed.
      this.#location = undefined
      if (signal.reason !== over || this.#isTry({beganAt})) this.#failed = true
      throw this.#away(cause)
    }
  }

  /** Finds the URL of the keys (OpenID Connect Discovery 1.0, 4). */
  async #discover(signal: AbortSignal): Promise<URL> {
    const {issuer, jwks} = this.#issuer
    if (jwks) return new URL(jwks)
    const document = await getJson(new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`), signal)
    const {issuer: named, jwks_uri: location} = document as {issuer?: unknown; jwks_uri?: unknown}
    if (named !== issuer) throw new Error('The discovery document names another issuer')
    const url = typeof location === 'string' ? URL.parse(location) : null
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && issuer.startsWith('http:'))
    if (!url || !isSafe) throw new Error('The discovery document has no https URL in "jwks_uri"')
    return url
  }

  #away(cause: unknown): Fault {
    return new Fault('UNAVAILABLE', "The keys of the token's issuer are unavailable: try again", {
      reason: 'ISSUER_UNAVAILABLE',
      retryAfter: 1,
      hint: `the issuer is "${this.#issuer.issuer}"`,
      cause,
    })
  }
}

/** @throws {Error} unless `jwks` is a JSON Web Key Set with at least one key */
async function lookupIn(jwks: unknown): Promise<Lookup> {
  const {createLocalJWKSet} = await import('jose/jwks/local')
  const {JWKSMultipleMatchingKeys, JWKSNoMatchingKey} = await import('jose/errors')
  const find = createLocalJWKSet(jwks as Parameters<typeof createLocalJWKSet>[0])
  if (find.jwks().keys.length === 0) throw new Error('The key set is empty')
  return async (header) => {
    try {
      return [await find(header)]
    } catch (error) {
      if (error instanceof JWKSNoMatchingKey) return []
      if (error instanceof JWKSMultipleMatchingKeys) return await Array.fromAsync(error)
      throw error
    }
  }
}

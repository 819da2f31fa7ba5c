import type {CryptoKey, JWTPayload} from 'jose'
import {frozen, type TokenCaller} from '../core/caller.ts'
import type {IssuerConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {KeySet, type KeySetTimes} from './key-set.ts'
import {unauthenticated} from './refusals.ts'
import {readToken} from './token.ts'

/** Algorithms with a private key. With a shared secret, everyone who can verify a token could also sign one. */
const algorithms = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ')

/** Tolerated clock skew, in seconds. */
const skew = 60

/** How long a verified token is cached, in ms. Then its signature is checked again, as the key may have been revoked. */
const believed = 5 * 60_000

/** Limit for all cached tokens together, in characters. */
const maxRemembered = 2 * 1024 * 1024

interface Remembered {
  readonly caller: TokenCaller
  /** In ms since the epoch. */
  readonly until: number
}

/** Verifies tokens of the configured issuers, and caches verified ones. */
export class Tokens {
  readonly #issuers: readonly (IssuerConfig & {readonly keys: KeySet})[]
  readonly #remembered = new Map<string, Remembered>()
  #length = 0

  constructor(issuers: readonly IssuerConfig[], times: Partial<KeySetTimes> = {}) {
    this.#issuers = issuers.map((issuer) => ({...issuer, keys: new KeySet(issuer, times)}))
  }

  /**
   * The caller of `token`, if the token is in the cache.
   * @param header the issuer's own header that the token came in; undefined for `authorization`
   */
  remembered(token: string, header: string | undefined): TokenCaller | undefined {
    const key = keyOf(token, header)
    const known = this.#remembered.get(key)
    if (!known) return undefined
    if (Date.now() < known.until) return known.caller
    this.#forget(key)
    return undefined
  }

  /**
   * Verifies `token`, and returns its caller.
   * @throws {Fault} 401, 503 when the keys of its issuer are unavailable, or the signal's reason
   */
  async verify(token: string, header: string | undefined, signal: AbortSignal): Promise<TokenCaller> {
    const {claims} = readToken(token)
    const issuers = this.#issuers.filter((each) => each.issuer === claims.iss && each.header === header)
    let refusal = unauthenticated('the issuer of the token is not in AUTH_ISSUERS')
    for (const issuer of issuers) {
      try {
        const verified = await claimsOf(token, issuer, signal)
        const caller = callerOf(verified)
        this.#remember(keyOf(token, header), caller, Number(verified.exp))
        return caller
      } catch (error) {
        refusal = Fault.from(error)
        if (refusal.code !== 'UNAUTHENTICATED') throw refusal
      }
    }
    throw refusal
  }

  #remember(key: string, caller: TokenCaller, exp: number): void {
    this.#forget(key)
    this.#remembered.set(key, {caller, until: Math.min((exp + skew) * 1000, Date.now() + believed)})
    this.#length += key.length
    for (const oldest of this.#remembered.keys()) {
      if (this.#length <= maxRemembered) return
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    if (this.#remembered.delete(key)) this.#length -= key.length
  }
}

function keyOf(token: string, header: string | undefined): string {
  return header === undefined ? token : `${header} ${token}`
}

async function claimsOf(
  token: string,
  issuer: IssuerConfig & {keys: KeySet},
  signal: AbortSignal,
): Promise<JWTPayload> {
  const {jwtVerify} = await import('jose/jwt/verify')
  const {header, claims} = readToken(token)
  if (!algorithms.includes(String(header.alg))) throw unauthenticated('the algorithm of the token is not accepted')
  const keys = await issuer.keys.keysFor(header as {alg: string}, signal).catch(asRefusal)
  const options = {
    algorithms,
    issuer: issuer.issuer,
    audience: [...issuer.audiences],
    clockTolerance: skew,
    requiredClaims: ['exp', 'sub'],
  }
  await firstOf(keys, (key) => jwtVerify(token, key, options)).catch(asRefusal)
  // Not those of jose, which reads keys with an escape as JSON.parse does.
  return claims
}

/** The result of `verify` for the first of `keys` for which it does not reject. */
async function firstOf<T>(keys: readonly CryptoKey[], verify: (key: CryptoKey) => Promise<T>): Promise<T> {
  let failure: unknown
  for (const key of keys) {
    try {
      return await verify(key)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

/** Converts an error of jose, which is about the token but does not quote it, to a 401. */
function asRefusal(error: unknown): never {
  if (error instanceof Fault) throw error
  const {code, claim} = error as {code?: unknown; claim?: unknown}
  const why = [code, claim].filter((text) => typeof text === 'string' && text !== 'unspecified')
  throw unauthenticated(`the token is not valid: ${why.join(', ') || 'its key cannot be used'}`)
}

function callerOf(claims: JWTPayload): TokenCaller {
  const {sub, iss, iat} = claims
  if (typeof sub !== 'string' || sub === '' || typeof iss !== 'string')
    throw unauthenticated('the token names no subject')
  if (iat !== undefined && !(typeof iat === 'number' && iat <= Date.now() / 1000 + skew))
    throw unauthenticated('the token is from the future')
  return frozen({kind: 'token', subject: sub, issuer: iss, claims})
}

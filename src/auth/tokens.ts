import type {CryptoKey, JWTPayload} from 'jose'
import type {TokenCaller} from '../core/caller.ts'
import type {IssuerConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {KeySet, type KeySetTimes} from './key-set.ts'
import {unauthenticated} from './refusals.ts'
import {readToken} from './token.ts'

/** Signatures with a private key. One with a shared secret could be made by everybody who checks it. */
const algorithms = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ')

/** How far clocks may be apart, in seconds. */
const skew = 60

/** How long a verified token is believed without looking at its signature again, in ms: its key may have been withdrawn. */
const believed = 5 * 60_000

/** The most characters of tokens that are remembered. */
const maxRemembered = 2 * 1024 * 1024

interface Remembered {
  readonly caller: TokenCaller
  /** In ms since the epoch. */
  readonly until: number
}

/** Verifies tokens of the configured issuers, and remembers those that it has verified. */
export class Tokens {
  readonly #issuers: readonly (IssuerConfig & {readonly keys: KeySet})[]
  readonly #remembered = new Map<string, Remembered>()
  #length = 0

  constructor(issuers: readonly IssuerConfig[], times: Partial<KeySetTimes> = {}) {
    this.#issuers = issuers.map((issuer) => ({...issuer, keys: new KeySet(issuer, times)}))
  }

  /**
   * The caller that `token` is about, when it has been verified lately.
   * @param header the issuer's own header that the token came in; undefined: `authorization`
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
   * The caller that `token` is about, verified.
   * @throws {Fault} 401, 503 when its issuer's keys are not to be had, or the signal's reason
   */
  async verify(token: string, header: string | undefined, signal: AbortSignal): Promise<TokenCaller> {
    const {claims} = readToken(token)
    const issuers = this.#issuers.filter((each) => each.issuer === claims.iss && each.header === header)
    let refusal = unauthenticated('the issuer of the token is none of AUTH_ISSUERS')
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
  const {header} = readToken(token)
  if (!algorithms.includes(String(header.alg))) throw unauthenticated('the token is signed in a way that is not taken')
  const keys = await issuer.keys.keysFor(header as {alg: string}, signal).catch(asRefusal)
  const options = {
    algorithms,
    issuer: issuer.issuer,
    audience: [...issuer.audiences],
    clockTolerance: skew,
    requiredClaims: ['exp', 'sub'],
  }
  return await firstOf(keys, async (key) => (await jwtVerify(token, key, options)).payload).catch(asRefusal)
}

/** What `verify` gives for the first of `keys` that it does not throw for. */
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

/** All that jose says of a token is the token's fault; it does not quote it. */
function asRefusal(error: unknown): never {
  if (error instanceof Fault) throw error
  const {code, claim} = error as {code?: unknown; claim?: unknown}
  const why = [code, claim].filter((text) => typeof text === 'string' && text !== 'unspecified')
  throw unauthenticated(`the token does not hold: ${why.join(', ') || 'its key cannot be used'}`)
}

function callerOf(claims: JWTPayload): TokenCaller {
  const {sub, iss, iat} = claims
  if (typeof sub !== 'string' || sub === '' || typeof iss !== 'string')
    throw unauthenticated('the token names no subject')
  if (iat !== undefined && !(typeof iat === 'number' && iat <= Date.now() / 1000 + skew))
    throw unauthenticated('the token is from the future')
  return {kind: 'token', subject: sub, issuer: iss, claims}
}

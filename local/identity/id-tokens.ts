import {
  type CryptoKey,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
  SignJWT,
} from 'jose'

/** An issuer of ID tokens, and its keys. */
export interface Authority {
  readonly issuer: string
  readonly keys: JWTVerifyGetKey
}

/** Claims of an ID token. The default of each is the metadata server's own. */
export interface TokenRequest {
  audience: string
  email?: string
  issuer?: string
  /** Seconds from now; negative for a token that has expired. */
  expiresIn?: number
  /** Signed with an unpublished key under the `kid` of a published one. */
  forged?: boolean
  /** Overrides all other claims. */
  claims?: Record<string, unknown>
}

/** Issues ID tokens as Google does, with its own key. */
export interface Minter extends Authority {
  readonly jwks: JSONWebKeySet
  mint(request: TokenRequest): Promise<string>
}

const kid = 'local-1'
const alg = 'RS256'

/** A minter with a new RS256 key pair. */
export async function startMinter(defaults: {email: string; issuer: string}): Promise<Minter> {
  const {publicKey, privateKey} = await generateKeyPair(alg)
  const jwks = {keys: [{...(await exportJWK(publicKey)), kid, alg, use: 'sig'}]}
  let forger: Promise<CryptoKey> | undefined

  async function mint(request: TokenRequest): Promise<string> {
    forger ??= request.forged ? generateKeyPair(alg).then((pair) => pair.privateKey) : undefined
    const email = request.email ?? defaults.email
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      aud: request.audience,
      azp: subjectOf(email),
      email,
      email_verified: true,
      exp: now + (request.expiresIn ?? 3600),
      iat: now,
      iss: request.issuer ?? defaults.issuer,
      sub: subjectOf(email),
      ...request.claims,
    }
    const key = request.forged && forger ? await forger : privateKey
    return new SignJWT(claims).setProtectedHeader({alg, kid, typ: 'JWT'}).sign(key)
  }

  return {issuer: defaults.issuer, keys: createLocalJWKSet(jwks), jwks, mint}
}

/** 21 digits that depend only on `email`, like Google's unique ids. */
function subjectOf(email: string): string {
  const digits = Array.from(Buffer.from(email), (byte) => byte % 10).join('')
  return `1${digits.padEnd(20, '0').slice(0, 20)}`
}

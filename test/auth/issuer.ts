import {once} from 'node:events'
import {createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse} from 'node:http'
import {createServer as createSecureServer} from 'node:https'
import type {AddressInfo} from 'node:net'
import {type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT} from 'jose'
import type {Certificate} from '../helpers/certificate.ts'

export interface IssuerOptions {
  readonly alg?: string
  /** Makes the issuer speak https. */
  readonly certificate?: Certificate
  /** The issuer's name ends in a slash, as Auth0's does. */
  readonly slash?: boolean
}

interface SigningKey {
  readonly kid: string
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

/** An OpenID Connect issuer on loopback. Its keys can be rotated, and it can be unavailable or misbehave. */
export class TestIssuer {
  readonly alg: string
  /** Answers the requests instead of the documents. */
  trouble: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  /** Paths of the requests so far. */
  readonly requests: string[] = []
  /** Overrides fields of the discovery document. */
  discovery: Record<string, unknown> = {}
  published: JWK[] = []
  readonly #slash: boolean
  readonly #server: Server
  readonly #scheme: string
  #key: SigningKey | undefined
  #keys = 0

  constructor({alg = 'ES256', certificate, slash = false}: IssuerOptions = {}) {
    this.alg = alg
    this.#slash = slash
    this.#scheme = certificate ? 'https' : 'http'
    const listener: RequestListener = (request, response) => this.#answer(request, response)
    this.#server = certificate ? createSecureServer(certificate, listener) : createServer(listener)
  }

  get url(): string {
    return `${this.#scheme}://localhost:${(this.#server.address() as AddressInfo).port}${this.#slash ? '/' : ''}`
  }

  get kid(): string {
    return this.#key?.kid ?? ''
  }

  async listen(): Promise<this> {
    await this.rotate()
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  /** Publishes a new key and signs with it from now on. `only`: the keys before it are no longer published. */
  async rotate({only = true}: {only?: boolean} = {}): Promise<void> {
    const next = await this.publish({only})
    this.#key = next
  }

  /** Publishes a new key, with which nothing is signed yet. */
  async publish({only = false}: {only?: boolean} = {}): Promise<SigningKey> {
    const {publicKey, privateKey} = await generateKeyPair(this.alg, {extractable: true})
    const kid = `key-${++this.#keys}`
    const jwk = {...(await exportJWK(publicKey)), kid, alg: this.alg, use: 'sig'}
    this.published = only ? [jwk] : [...this.published, jwk]
    return {kid, privateKey, jwk}
  }

  use(key: SigningKey): void {
    this.#key = key
  }

  /** A token with the usual claims, overridden by `claims`; undefined removes one. */
  token(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000)
    const all = {iss: this.url, sub: 'ada', aud: 'api', iat: now, exp: now + 600, ...claims}
    const {privateKey, kid} = this.#key!
    return new SignJWT(JSON.parse(JSON.stringify(all)))
      .setProtectedHeader({alg: this.alg, kid, typ: 'JWT', ...header})
      .sign(privateKey)
  }

  /** Signs `payload` unchanged. */
  async signed(payload: string, header: Record<string, unknown> = {}): Promise<string> {
    const {privateKey, kid} = this.#key!
    const head = Buffer.from(JSON.stringify({alg: this.alg, kid, ...header})).toString('base64url')
    return await this.signedText(`${head}.${Buffer.from(payload).toString('base64url')}`, privateKey)
  }

  async signedText(text: string, privateKey = this.#key!.privateKey): Promise<string> {
    const algorithm = {ES256: {name: 'ECDSA', hash: 'SHA-256'}, RS256: {name: 'RSASSA-PKCS1-v1_5'}}[this.alg]!
    const signature = await crypto.subtle.sign(algorithm, privateKey, Buffer.from(text))
    return `${text}.${Buffer.from(signature).toString('base64url')}`
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(request.url ?? '')
    if (this.trouble) {
      this.trouble(request, response)
      return
    }
    const base = this.url.replace(/\/$/, '')
    const documents: Record<string, object> = {
      '/.well-known/openid-configuration': {issuer: this.url, jwks_uri: `${base}/keys`, ...this.discovery},
      '/keys': {keys: this.published},
    }
    const document = documents[request.url ?? '']
    response.writeHead(document ? 200 : 404, {'content-type': 'application/json'})
    response.end(JSON.stringify(document ?? {}))
  }
}

/** Starts an issuer. */
export function startIssuer(options: IssuerOptions = {}): Promise<TestIssuer> {
  return new TestIssuer(options).listen()
}

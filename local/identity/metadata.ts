import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'
import {Open} from '../open.ts'
import {type Authority, type Minter, startMinter, type TokenRequest} from './id-tokens.ts'

export interface MetadataOptions {
  port?: number
  host?: string
  /** The service account of its tokens. */
  email?: string
  projectId?: string
}

/** A request for an ID token. */
export interface IdentityRequest {
  audience: string
  format: string
}

/** How requests for tokens are treated. If empty, they are answered. */
interface Trouble {
  status?: number
  hang?: boolean
  until?: Promise<unknown>
  /** The number of further requests that it applies to. */
  times: number
}

/** A GCE metadata server: `service-accounts/default/identity` and `token`, and the other paths that Google's libraries use. */
export class MetadataServer implements Authority {
  readonly email: string
  readonly projectId: string
  /** Every received request for an ID token, answered or not. */
  readonly identityRequests: IdentityRequest[] = []
  /** Lifetime of tokens from now on, in seconds. Google's live an hour. */
  lifetimeSeconds = 3600

  readonly #minter: Minter
  readonly #open = new Open<ServerResponse>()
  readonly #server = createServer((request, response) => this.#handle(request, response))
  #trouble: Trouble | undefined
  #waiting: ((request: IdentityRequest) => void)[] = []

  /** Use startMetadataServer(). */
  constructor(minter: Minter, {email, projectId}: {email: string; projectId: string}) {
    this.#minter = minter
    this.email = email
    this.projectId = projectId
  }

  get issuer(): string {
    return this.#minter.issuer
  }

  get keys(): Authority['keys'] {
    return this.#minter.keys
  }

  /** `127.0.0.1:PORT`, for GCE_METADATA_HOST. */
  get host(): string {
    const {address, port} = this.#server.address() as AddressInfo
    return `${address}:${port}`
  }

  get url(): string {
    return `http://${this.host}`
  }

  /** The URL of the keys, for a backend in another process: Google's own path. */
  get jwksUrl(): string {
    return `${this.url}/oauth2/v3/certs`
  }

  /** The environment that makes Google's libraries use only this server. */
  get env(): Record<string, string> {
    return {
      GCE_METADATA_HOST: this.host,
      METADATA_SERVER_DETECTION: 'assume-present',
      GOOGLE_CLOUD_PROJECT: this.projectId,
    }
  }

  /** Issues an ID token as the server would, with the changes in `request`. */
  mint(request: TokenRequest): Promise<string> {
    return this.#minter.mint({expiresIn: this.lifetimeSeconds, ...request})
  }

  /** Answers the next `times` requests for a token with `status`: all until recover() unless given. */
  fail(status: 404 | 500 | 503, times = Number.POSITIVE_INFINITY): void {
    this.#trouble = {status, times}
  }

  /** Never answers the next `times` requests for a token; they end when the caller disconnects. */
  hang(times = Number.POSITIVE_INFINITY): void {
    this.#trouble = {hang: true, times}
  }

  /** Answers requests for a token once `until` has settled. */
  delay(until: Promise<unknown>, times = Number.POSITIVE_INFINITY): void {
    this.#trouble = {until, times}
  }

  /** Answers requests again from now on. Hanging ones remain unanswered. */
  recover(): void {
    this.#trouble = undefined
  }

  /** Resolves with the next request for an ID token when it arrives. */
  nextIdentityRequest(): Promise<IdentityRequest> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** The number of requests without a response so far. */
  openRequests(): number {
    return this.#open.size
  }

  /** Resolves when every request has been answered or its caller has gone away. */
  idle(): Promise<void> {
    return this.#open.idle()
  }

  listen(port: number, host: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(port, host, resolve)
    })
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    this.#open.add(response)
    response.on('close', () => this.#open.delete(response))
    request.resume()
    this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://metadata')
    if (url.pathname === '/oauth2/v3/certs') return send(response, 200, JSON.stringify(this.#minter.jwks), json)
    if (request.headers['metadata-flavor'] !== 'Google')
      return send(response, 403, 'Missing Metadata-Flavor:Google header.')
    const path = url.pathname.replace(/^\/computeMetadata\/v1(?=\/|$)/, '')
    if (path === url.pathname)
      return send(response, path === '/' ? 200 : 404, path === '/' ? 'computeMetadata/\n' : 'Not found')
    if (path === `${account}/identity`) return this.#identity(url, response)
    if (path === `${account}/token`) return this.#token(response)
    const text = this.#texts()[path.replace(/\/$/, '')]
    send(response, text === undefined ? 404 : 200, text ?? 'Not found')
  }

  async #identity(url: URL, response: ServerResponse): Promise<void> {
    const audience = url.searchParams.get('audience') ?? ''
    const request = {audience, format: url.searchParams.get('format') ?? 'standard'}
    this.identityRequests.push(request)
    for (const wake of this.#waiting.splice(0)) wake(request)
    if (await this.#troubled(response)) return
    if (!audience) return send(response, 400, 'non-empty audience parameter required')
    send(response, 200, await this.mint({audience}))
  }

  async #token(response: ServerResponse): Promise<void> {
    if (await this.#troubled(response)) return
    const token = {access_token: `ya29.local-${Date.now()}`, expires_in: this.lifetimeSeconds, token_type: 'Bearer'}
    send(response, 200, JSON.stringify(token), json)
  }

  /** Applies the trouble that the test has ordered. Returns false if there is none. */
  async #troubled(response: ServerResponse): Promise<boolean> {
    const trouble = this.#trouble
    if (!trouble || trouble.times <= 0) return false
    trouble.times--
    if (trouble.status) send(response, trouble.status, `Failed with ${trouble.status}, as the test wished`)
    if (trouble.status || trouble.hang) return true
    await trouble.until?.then(undefined, () => {})
    return response.destroyed
  }

  /** Everything that is a plain text. */
  #texts(): Record<string, string> {
    return {
      '': 'instance/\nproject/\nuniverse/\n',
      '/instance': 'id\nregion\nservice-accounts/\nzone\n',
      '/instance/id': '1234567890123456789',
      '/instance/region': 'projects/1234567890/regions/europe-west1',
      '/instance/zone': 'projects/1234567890/zones/europe-west1-1',
      '/instance/service-accounts': `default/\n${this.email}/\n`,
      [account]: 'aliases\nemail\nidentity\nscopes\ntoken\n',
      [`${account}/aliases`]: 'default\n',
      [`${account}/email`]: this.email,
      [`${account}/scopes`]: 'https://www.googleapis.com/auth/cloud-platform\n',
      '/project': 'numeric-project-id\nproject-id\n',
      '/project/numeric-project-id': '1234567890',
      '/project/project-id': this.projectId,
      '/universe': 'universe-domain\n',
      '/universe/universe-domain': 'googleapis.com',
    }
  }
}

/**
 * Starts a metadata server on a free port of 127.0.0.1.
 * @example
 * const metadata = await startMetadataServer()
 * const local = await startLocal({env: {...metadata.env, BACKEND_URL: 'http://localhost:9090'}})
 * metadata.hang() // from here on no token is to be had
 */
export async function startMetadataServer(options: MetadataOptions = {}): Promise<MetadataServer> {
  const projectId = options.projectId ?? 'local-project'
  const email = options.email ?? `functions@${projectId}.iam.gserviceaccount.com`
  const minter = await startMinter({email, issuer: 'https://accounts.google.com'})
  const server = new MetadataServer(minter, {email, projectId})
  await server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  return server
}

const account = '/instance/service-accounts/default'
const json = 'application/json'

function send(response: ServerResponse, status: number, body: string, type = 'application/text'): void {
  if (response.destroyed) return
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'metadata-flavor': 'Google',
    server: 'Metadata Server for VM',
  })
  response.end(body)
}

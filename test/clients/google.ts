import {generateKeyPairSync} from 'node:crypto'
import {once} from 'node:events'
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import {createServer as createTlsServer} from 'node:https'
import {type AddressInfo, connect} from 'node:net'
import {text} from 'node:stream/consumers'
import type {ExecutionContext} from 'ava'
import {jwtVerify} from 'jose'
import {certificateFor} from '../helpers/certificate.ts'
import {Folder} from './child.ts'

/** The requests to Google so far, and what a process needs to send them here. */
export interface Google {
  /** `oauth2.googleapis.com/token jwt` and the like, in order. */
  readonly asked: string[]
  /** Environment variables with which a process takes this server for Google. */
  readonly env: Record<string, string>
  /** A folder for that process's files. */
  readonly folder: Folder
  /** The JSON of a service account's key, and of a developer's own login. */
  readonly keyFile: object
  readonly userFile: object
  /** The number of further requests that are never answered. */
  hanging: number
}

const tokenUrl = 'https://oauth2.googleapis.com/token'
const robot = 'robot@p.iam.gserviceaccount.com'

/**
 * Google's token endpoints, as far as credentials need them. The library has the addresses built in, so its requests arrive
 * through a proxy, and its process trusts this server's certificate.
 */
export async function startGoogle(t: ExecutionContext): Promise<Google> {
  const folder = new Folder()
  const certificate = certificateFor('oauth2.googleapis.com', 'iamcredentials.googleapis.com')
  const {publicKey, privateKey} = generateKeyPairSync('rsa', {modulusLength: 2048})
  const tls = createTlsServer(certificate, (request, response) => void answer(request, response))
  const proxy = createServer()
  await Promise.all([tls, proxy].map((server) => once(server.listen(0, '127.0.0.1'), 'listening')))
  const port = (server: typeof proxy | typeof tls) => (server.address() as AddressInfo).port
  proxy.on('connect', (_request, socket) => {
    const through = connect(port(tls), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      through.pipe(socket).pipe(through)
    })
    for (const end of [socket, through]) end.on('error', () => {})
    socket.on('close', () => through.destroy())
    through.on('close', () => socket.destroy())
  })
  t.teardown(() => {
    for (const server of [tls, proxy]) server.close()
    tls.closeAllConnections()
    folder[Symbol.dispose]()
  })
  const google: Google = {
    asked: [],
    env: {
      HTTPS_PROXY: `http://127.0.0.1:${port(proxy)}`,
      NODE_EXTRA_CA_CERTS: folder.write('ca.pem', certificate.cert),
      PATH: `${folder.path}:${process.env.PATH}`,
      METADATA_SERVER_DETECTION: 'none',
    },
    folder,
    keyFile: {
      type: 'service_account',
      client_email: robot,
      private_key: privateKey.export({type: 'pkcs8', format: 'pem'}),
      private_key_id: 'k1',
      token_uri: tokenUrl,
    },
    userFile: {type: 'authorized_user', client_id: 'c', client_secret: 's', refresh_token: 'mine'},
    hanging: 0,
  }
  folder.write('gcloud', `#!/bin/sh\ntouch "${folder.path}/gcloud-ran"\n`, 0o700)

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    const {host = ''} = request.headers
    const [status, value] = await (host.startsWith('oauth2') ? token(body) : impersonate(request, body))
    google.asked.push(`${host}${request.url} ${(value as {of?: string}).of ?? ''}`.trim())
    if (google.hanging-- > 0) return
    response.writeHead(status as number, {'content-type': 'application/json'}).end(JSON.stringify(value))
  }

  async function token(body: string): Promise<[number, object]> {
    const form = new URLSearchParams(body)
    if (form.get('grant_type') === 'refresh_token') {
      // A developer's ID tokens are those of gcloud, for any requested audience.
      return form.get('refresh_token') === 'mine'
        ? [200, {of: 'user', access_token: 'ya29.user', expires_in: 3600, id_token: idToken('gcloud', 'me@p')}]
        : [400, {error: 'invalid_grant', of: 'user'}]
    }
    const {payload} = await jwtVerify(form.get('assertion') ?? '', publicKey, {issuer: robot, audience: tokenUrl})
    const {scope, target_audience: audience} = payload
    if (!scope === !audience) {
      return [400, {error: 'invalid_scope', error_description: 'Invalid OAuth scope or ID token audience provided.'}]
    }
    return audience
      ? [200, {of: 'audience', id_token: idToken(String(audience), robot)}]
      : [200, {of: 'scope', access_token: 'ya29.robot', expires_in: 3600}]
  }

  async function impersonate({headers, url}: IncomingMessage, body: string): Promise<[number, object]> {
    const {audience, includeEmail} = JSON.parse(body)
    if (!/^Bearer ya29\./.test(headers.authorization ?? '')) return [401, {error: {code: 401}}]
    const email = /serviceAccounts\/(.*):generateIdToken$/.exec(url ?? '')?.[1] ?? ''
    return [200, {of: headers.authorization, token: idToken(audience, includeEmail ? email : '')}]
  }

  return google
}

function idToken(audience: string, email: string): string {
  const claims = {aud: audience, email, exp: Math.floor(Date.now() / 1000) + 3600}
  return ['{}', JSON.stringify(claims), 'signed'].map((part) => Buffer.from(part).toString('base64url')).join('.')
}

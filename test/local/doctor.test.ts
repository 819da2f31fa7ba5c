import '../helpers/node-roots.ts'
import {execFile} from 'node:child_process'
import {createServer as createHttp1, request} from 'node:http'
import {
  createServer as createHttp2,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import {createServer as createHttps} from 'node:https'
import {createServer, type Server} from 'node:net'
import {join} from 'node:path'
import {getCACertificates, setDefaultCACertificates} from 'node:tls'
import {Server as GrpcServer, ServerCredentials} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {type Check, Diagnosis, placeOf} from '../../local/cli/diagnosis.ts'
import {type TroubleName, troubleOf, troubles} from '../../local/cli/troubles.ts'
import {type Backend, type BackendOptions, startBackend} from '../../local/grpc/backend.ts'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {causes} from '../../src/clients/connections/causes.ts'
import {readConfig} from '../../src/core/config.ts'
import {certificateFor, certificateOf} from '../helpers/certificate.ts'
import {listening} from '../helpers/listening.ts'

const ours = certificateFor('localhost')
const other = certificateFor('other.example')
const expired = certificateOf(['localhost'], {valid: [-2, -1]})
const early = certificateOf(['localhost'], {valid: [1, 2]})
setDefaultCACertificates([...getCACertificates(), ours.cert, other.cert, expired.cert, early.cert])

/** A generous timeout, for all tests that are not about the timeout. */
const patience = 60_000

interface Asked {
  readonly env?: Readonly<Record<string, string>>
  readonly timeout?: number
}

/** The doctor's checks of `url`. */
async function checksOf(url: string, {env = {}, timeout = patience}: Asked = {}): Promise<readonly Check[]> {
  const config = readConfig({BACKEND_URL: url, BACKEND_AUDIENCE: 'none', ...env})
  return await new Diagnosis(config.backends[0]!, config, timeout).run()
}

/** The only check that finds something wrong. */
async function wrongAt(t: ExecutionContext, url: string, asked: Asked = {}): Promise<Check> {
  const checks = await checksOf(url, asked)
  const wrong = checks.filter(({state}) => state === 'wrong')
  t.is(wrong.length, 1, JSON.stringify(checks))
  t.truthy(wrong[0]?.change)
  t.truthy(wrong[0]?.line)
  return wrong[0]!
}

function allWell(t: ExecutionContext, checks: readonly Check[]): void {
  t.true(checks.length >= 8)
  t.deepEqual(
    checks.filter(({state}) => state !== 'ok'),
    [],
  )
}

async function backendOf(t: ExecutionContext, options: BackendOptions = {}): Promise<Backend> {
  const backend = await startBackend(options)
  t.teardown(() => backend.close(0))
  return backend
}

test('a healthy backend is healthy in every check', async (t) => {
  const backend = await backendOf(t)
  const checks = await checksOf(backend.url)
  t.deepEqual(
    checks.map(({what, state}) => [what, state]),
    ['DNS', 'network', 'protocol', 'HTTP/2', 'ID token', 'access', 'health', 'reflection'].map((what) => [what, 'ok']),
  )
  t.regex(checks.at(-1)!.is, /ping\.PingService/)
})

test('a healthy backend over TLS is healthy too', async (t) => {
  const backend = await backendOf(t, {tls: ours})
  allWell(t, await checksOf(backend.url))
})

const made = new Set<TroubleName>()

/** Defines a test that causes each fault in `names`. */
function makes(names: readonly TroubleName[], title: string, implementation: (t: ExecutionContext) => Promise<void>) {
  for (const name of names) made.add(name)
  test(`${names.join(', ')}: ${title}`, implementation)
}

const refusing: [url: string, cause: TroubleName, line: RegExp][] = [
  ['https://nobody.invalid', 'NO_SUCH_HOST', /^nslookup nobody\.invalid$/],
  ['http://127.0.0.1:1', 'CONNECTION_REFUSED', /^nc -vz 127\.0\.0\.1 1$/],
  // No network routes TCP to a multicast address.
  ['http://224.0.0.1', 'NO_ROUTE', /^nc -vz -w 3 224\.0\.0\.1 80$/],
]
for (const [url, cause, line] of refusing) {
  makes([cause], url, async (t) => {
    const wrong = await wrongAt(t, url)
    t.is(wrong.cause, cause)
    t.regex(wrong.line!, line)
  })
}

/** A server that ends each TLS handshake with this alert (RFC 8446, section 6). */
function alerting(alert: number): Server {
  return createServer((socket) => socket.once('data', () => socket.end(Uint8Array.of(21, 3, 3, 0, 2, 2, alert))))
}

const ports: [cause: TroubleName, scheme: 'http' | 'https', what: string, server: () => Server, line: RegExp][] = [
  ['TLS_PORT', 'http', 'a port with TLS', () => createSecureServer(ours), /^BACKEND_URL=https:\/\/localhost:\d+$/],
  ['PLAINTEXT_PORT', 'https', 'a port without TLS', () => createHttp2(), /^BACKEND_URL=http:\/\/localhost:\d+$/],
  [
    'UNKNOWN_AUTHORITY',
    'https',
    'a certificate that nobody knows',
    () => createSecureServer(certificateFor('localhost')),
    /^export NODE_EXTRA_CA_CERTS=/,
  ],
  ['CERTIFICATE_EXPIRED', 'https', 'an expired certificate', () => createSecureServer(expired), /openssl .* -dates$/],
  ['CERTIFICATE_NOT_YET_VALID', 'https', 'an early one', () => createSecureServer(early), /openssl .* -dates$/],
  ['CERTIFICATE_NAME', 'https', 'one of another name', () => createSecureServer(other), /-ext subjectAltName$/],
  ['HTTP1_ONLY', 'https', 'a server of HTTP/1', () => createHttps(ours), /--use-http2$/],
  ['HTTP1_ONLY', 'http', 'a server of HTTP/1', () => createHttp1((_, answer) => answer.end()), /--use-http2$/],
  ['SILENT', 'http', 'a server that says nothing', () => createServer(), /^nc -vz -w 3 localhost \d+$/],
  [
    'CERTIFICATE_REVOKED',
    'https',
    'a proxy that knows its certificate to be revoked',
    () => alerting(44),
    /openssl .* -serial$/,
  ],
  [
    'CLIENT_CERTIFICATE',
    'https',
    'a server that requires a client certificate',
    () => createSecureServer({...ours, requestCert: true, rejectUnauthorized: true}),
    /^openssl s_client /,
  ],
  [
    'TLS_VERSION',
    'https',
    'TLS of long ago',
    () => createSecureServer({...ours, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0'}),
    /-tls1_2$/,
  ],
  [
    'NOT_HTTP2',
    'http',
    'another protocol',
    () => createServer((socket) => socket.write('SSH-2.0-OpenSSH_9.9\r\n')),
    /^nc localhost \d+$/,
  ],
  ['CLOSED', 'https', 'one that hangs up', () => createServer((socket) => socket.destroy()), /logs read/],
  ['CLOSED', 'http', 'one that hangs up', () => createServer((socket) => socket.destroy()), /logs read/],
]
for (const [cause, scheme, what, create, line] of ports) {
  makes([cause], `${scheme} and ${what}`, async (t) => {
    // A silent server uses up part of the timeout.
    const timeout = cause === 'SILENT' ? 10_000 : patience
    const wrong = await wrongAt(t, `${scheme}://localhost:${await listening(t, create())}`, {timeout})
    t.is(wrong.cause, cause, wrong.is)
    t.regex(wrong.line!, line)
  })
}

type Answering = (request: Http2ServerRequest, response: Http2ServerResponse) => void

/** A front end that speaks HTTP/2 over TLS. */
async function frontEnd(t: ExecutionContext, answer: Answering): Promise<string> {
  return `https://localhost:${await listening(t, createSecureServer({...ours, allowHTTP1: true}, answer as never))}`
}

/** Like Cloud Run's without --use-http2: it forwards requests by HTTP/1. */
function downTo(port: number): Answering {
  return (incoming, response) => {
    const passed = request({port, host: '127.0.0.1', method: 'POST', path: incoming.url})
    passed.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 0, {'content-type': 'text/html'})
      answer.pipe(response)
    })
    passed.on('error', () => {
      response.writeHead(503, {'content-type': 'text/plain'})
      response.end('upstream connect error or disconnect/reset before headers. reset reason: protocol error')
    })
    incoming.pipe(passed)
  }
}

makes(['NOT_END_TO_END'], 'HTTP/2 ends before a gRPC server', async (t) => {
  const backend = await backendOf(t)
  const wrong = await wrongAt(t, await frontEnd(t, downTo(backend.port)))
  t.is(wrong.cause, 'NOT_END_TO_END')
  t.is(wrong.line, 'gcloud run services update SERVICE --region=REGION --use-http2')
})

makes(['NOT_END_TO_END'], 'it ends before a server of HTTP/1', async (t) => {
  const port = await listening(
    t,
    createHttp1((_, answer) => answer.writeHead(404).end('Cannot POST')),
  )
  t.is((await wrongAt(t, await frontEnd(t, downTo(port)))).cause, 'NOT_END_TO_END')
})

makes(['NOT_STARTED'], 'the front end answers 503 by itself', async (t) => {
  const url = await frontEnd(t, (_, response) => response.writeHead(503).end('Service Unavailable'))
  t.is((await wrongAt(t, url)).cause, 'NOT_STARTED')
})

makes(['NO_SUCH_SERVICE'], 'a URL that no service of Cloud Run has', async (t) => {
  const url = await frontEnd(t, (_, response) => response.writeHead(404, {server: 'Google Frontend'}).end())
  t.is((await wrongAt(t, url)).cause, 'NO_SUCH_SERVICE')
})

makes(['SLOW'], 'a server that does not answer', async (t) => {
  const port = await listening(
    t,
    createHttp2(() => {}),
  )
  const wrong = await wrongAt(t, `http://localhost:${port}`, {timeout: 1500})
  t.is(wrong.cause, 'SLOW')
})

/** A backend that requires the ID tokens of its own metadata server. */
async function guarded(t: ExecutionContext, options: BackendOptions = {}) {
  const metadata = await startMetadataServer()
  t.teardown(() => metadata.close())
  const backend = await backendOf(t, {...options, iam: metadata})
  const env = {GCE_METADATA_HOST: metadata.host, BACKEND_AUDIENCE: backend.url}
  return {metadata, backend, env}
}

makes(['TOKEN_WANTED'], 'no ID token is sent', async (t) => {
  const {backend} = await guarded(t)
  t.is((await wrongAt(t, backend.url)).cause, 'TOKEN_WANTED')
})

makes(['AUDIENCE'], 'the ID token is for a custom domain that the service does not know', async (t) => {
  const {backend, env} = await guarded(t)
  const wrong = await wrongAt(t, backend.url, {env: {...env, BACKEND_AUDIENCE: 'https://api.example.com'}})
  t.is(wrong.cause, 'AUDIENCE')
  t.regex(wrong.line!, /--add-custom-audiences=https:\/\/api\.example\.com$/)
})

makes(['INVOKER'], 'the account lacks roles/run.invoker, and is named', async (t) => {
  const {backend, env, metadata} = await guarded(t, {invokers: ['somebody@else.example']})
  const wrong = await wrongAt(t, backend.url, {env})
  t.is(wrong.cause, 'INVOKER')
  t.true(wrong.line!.includes(`--member=serviceAccount:${metadata.email} --role=roles/run.invoker`))
})

makes(['NO_CREDENTIALS'], 'no ID token can be fetched', async (t) => {
  const {backend, env, metadata} = await guarded(t)
  metadata.fail(404)
  const wrong = await wrongAt(t, backend.url, {env})
  t.is(wrong.cause, 'NO_CREDENTIALS')
  t.regex(wrong.line!, /--impersonate-service-account=/)
})

test('with the token and the role all checks pass', async (t) => {
  const {backend, env} = await guarded(t)
  allWell(t, await checksOf(backend.url, {env}))
})

makes(['UNHEALTHY'], 'the server says that it is not serving', async (t) => {
  const backend = await backendOf(t)
  backend.health.set('', 'NOT_SERVING')
  t.is((await wrongAt(t, backend.url)).cause, 'UNHEALTHY')
})

makes(['NO_HEALTH', 'NO_REFLECTION'], 'a server that has neither is well', async (t) => {
  const server = new GrpcServer()
  const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    )
  })
  t.teardown(() => server.forceShutdown())
  const checks = await checksOf(`http://127.0.0.1:${port}`)
  t.deepEqual(
    checks.filter(({state}) => state !== 'ok').map(({state, cause}) => [state, cause]),
    [
      ['note', 'NO_HEALTH'],
      ['note', 'NO_REFLECTION'],
    ],
  )
})

test('a server whose error text cannot be decoded is healthy', async (t) => {
  const port = await listening(
    t,
    createHttp2((request, response) => {
      request.resume()
      response
        .writeHead(200, {'content-type': 'application/grpc', 'grpc-status': '12', 'grpc-message': '100% no'})
        .end()
    }),
  )
  const checks = await checksOf(`http://localhost:${port}`)
  t.deepEqual(
    checks.filter(({state}) => state !== 'ok').map(({state, cause}) => [state, cause]),
    [
      ['note', 'NO_HEALTH'],
      ['note', 'NO_REFLECTION'],
    ],
  )
})

/** Runs the command; returns its exit code and its output. */
async function doctor(...args: readonly string[]): Promise<{code: number; out: string}> {
  const main = join(import.meta.dirname, '../../local/cli/main.ts')
  const env = {...process.env, BACKEND_URL: ''}
  return await new Promise((resolve) => {
    execFile(process.execPath, [main, 'doctor', ...args], {env}, (error, out) =>
      resolve({code: Number(error?.code ?? 0), out}),
    )
  })
}

makes(['URL', 'URL_NOT_SET'], 'the command ends with 1, and its JSON names the cause', async (t) => {
  const backend = await backendOf(t)
  for (const [args, code, cause] of [
    [['ftp://x'], 1, 'URL'],
    [[], 1, 'URL_NOT_SET'],
    [[backend.url], 0, undefined],
  ] as const) {
    const run = await doctor(...args, '--json')
    t.is(run.code, code, run.out)
    const {ok, backends} = JSON.parse(run.out) as {ok: boolean; backends: {checks: Check[]}[]}
    t.is(ok, code === 0)
    t.is(backends[0]?.checks.find(({state}) => state === 'wrong')?.cause, cause as never)
  }
  t.is((await doctor(backend.url, '--timeout', 'soon')).code, 2)
})

test('each cause of trouble has a test', (t) => {
  t.deepEqual([...made].sort(), (Object.keys({...troubles, ...causes}) as TroubleName[]).sort())
})

test('each cause of trouble has a command to type, with the service and region of the URL', (t) => {
  for (const [url, service, region] of [
    ['https://ping-123456789.europe-west1.run.app', 'ping', 'europe-west1'],
    ['https://my-ping-abcde12345-ew.a.run.app', 'my-ping', 'REGION'],
    ['https://api.example.com', 'SERVICE', 'REGION'],
  ] as const) {
    const place = placeOf(readConfig({BACKEND_URL: url}).backends[0]!)
    t.like(place, {service, region})
    for (const name of Object.keys({...troubles, ...causes}) as TroubleName[]) {
      const {is, change, line} = troubleOf(name, place)
      t.true(
        [is, change, line].every((text) => text.length > 0 && !text.includes('undefined')),
        name,
      )
      if (/gcloud run services (update|logs)/.test(line)) t.true(line.includes(` ${service} --region=${region}`), line)
    }
  }
})

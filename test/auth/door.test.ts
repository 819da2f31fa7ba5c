import {createHmac, randomBytes} from 'node:crypto'
import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {SignJWT} from 'jose'
import {type Logger, pino} from 'pino'
import {resourceAt, resourceDocument} from '../../src/auth/resource.ts'
import {type AuthConfig, ConfigError} from '../../src/core/config.ts'
import {gateway} from '../../src/functions/gateway.ts'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {resourceOf} from '../../src/http/own-paths.ts'
import {createClient, type Handler, json} from '../../src/index.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {buildSchema} from '../functions/gateway-schema.ts'
import {HeldService} from '../functions/gateway-services.ts'
import {type App, startApp} from '../helpers/app.ts'
import {connectTo} from '../http/connection.ts'
import {startIssuer, type TestIssuer} from './issuer.ts'
import {mutated} from './mutations.ts'

const page = 'https://app.example'
const lines: string[] = []
const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger

const schema = buildSchema({
  'ping.proto': readFileSync(join(import.meta.dirname, '../../proto/ping/ping.proto'), 'utf8'),
  'users.proto': `
    syntax = "proto3";
    import "google/api/annotations.proto";
    service People { rpc Find(Name) returns (Name) { option (google.api.http) = {get: "/api/person/{name}"}; } }
    service Users { rpc GetUser(Name) returns (Name) { option (google.api.http) = {get: "/api/users"}; } }
    service Chat { rpc Talk(stream Name) returns (stream Name) { option (google.api.http) = {post: "/api/chat" body: "*"}; } }
    service Club { rpc Talk(stream Name) returns (stream Name) { option (google.api.http) = {post: "/api/club" body: "*"}; } }
    message Name { string name = 1; }`,
})
const same = (request: unknown) => request
const talking = (name: string) =>
  new HeldService(schema.registry.getService(name)!, {
    async *talk(names) {
      for await (const name of names) yield name
    },
  })
const chat = talking('Chat')
const services = [
  chat,
  talking('Club'),
  new HeldService(schema.registry.getService('People')!, {find: same}),
  new HeldService(schema.registry.getService('Users')!, {getUser: same}),
]

let issuer: TestIssuer
let rsa: TestIssuer
let app: App
test.before(async () => {
  issuer = await startIssuer()
  rsa = await startIssuer({alg: 'RS256', slash: true})
  app = await startApp({
    log,
    backend: {services},
    env: {
      GATEWAY_DESCRIPTORS: schema.path,
      AUTH: 'jwt',
      AUTH_ISSUERS: `${issuer.url} audience=api|other; ${rsa.url} audience=api; ${issuer.url} audience=iap header=x-goog-iap-jwt-assertion; ${issuer.url} audience=proxy header=X_Proxy-Jwt`,
      AUTH_PUBLIC: '/openapi.json, ping.PingService/Send',
      AUTH_ALLOW:
        'ping.PingService/SendUpstream email=ada@example.com|grace@example.com; Users scope=users.read; Club email=ada@example.com',
      CORS_ORIGINS: page,
      GATEWAY_WEBSOCKET: 'true',
      MCP: 'true',
    },
  })
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  await Promise.all([issuer.close(), rsa.close()])
  schema[Symbol.dispose]()
})

const bearer = (token: string) => ({headers: {authorization: `Bearer ${token}`}})

/** A path that calls the backend, and that only verified callers may call. */
const closed = '/api/person/Ada'

/** Opens a WebSocket as a page does. */
function openSocket(path: string, ...protocols: string[]): WebSocket {
  return new WebSocket(app.url(path).replace('http', 'ws'), protocols)
}

/** Waits until `socket` is open. @throws {Error} if it is refused */
async function opened(socket: WebSocket): Promise<void> {
  const [{type}] = await Promise.race([once(socket, 'open'), once(socket, 'close')])
  if (type !== 'open') throw new Error(`Refused: ${lines.at(-1)}`)
}

test.serial('the token of a WebSocket is in a subprotocol, and is checked like any other', async (t) => {
  const token = await issuer.token()
  const calls = app.backend.log.length
  for (const protocols of [[], ['json'], ['json', 'bearer.nope'], ['json', `bearer.${token.slice(0, -4)}AAAA`]]) {
    await once(openSocket('/api/chat', ...protocols), 'close')
    t.like(JSON.parse(lines.at(-1)!), {httpRequest: {status: 401}})
  }
  t.is(app.backend.log.length, calls)
  const call = chat.next()
  for (const protocols of [['json', `bearer.${token}`], [`bearer.${token}`]]) {
    const socket = openSocket('/api/chat', ...protocols)
    await opened(socket)
    t.is(socket.protocol, protocols[0]!)
    socket.send('{"name": "Ada"}')
    t.is((await once(socket, 'message'))[0].data, '{"name":"Ada"}')
    socket.send('')
    t.is((await once(socket, 'close'))[0].code, 1000)
  }
  const {metadata} = (await call).context
  t.is(JSON.parse(String(metadata.get('x-verified-claims-bin')[0])).sub, 'ada')
  t.is(lines.filter((line) => line.includes(token)).length, 0)
})

test.serial('a WebSocket for a method that AUTH_ALLOW closes to its caller is refused before it opens', async (t) => {
  const tokenOf = async (email: string) => `bearer.${await issuer.token({email})}`
  const calls = app.backend.log.length
  const refused = openSocket('/api/club', 'json', await tokenOf('eve@example.com'))
  await t.throwsAsync(opened(refused), {message: /^Refused/})
  t.like(JSON.parse(lines.at(-1)!), {httpRequest: {status: 403}})
  t.is(app.backend.log.length, calls)
  const socket = openSocket('/api/club', 'json', await tokenOf('ada@example.com'))
  await opened(socket)
  socket.send('')
  t.is((await once(socket, 'close'))[0].code, 1000)
})

test.serial('everything is closed except for AUTH_PUBLIC, probes, and the document about how to log in', async (t) => {
  for (const [path, status] of [
    [closed, 401],
    ['/health', 401],
    ['/upload', 401],
    ['/nowhere', 401],
    ['/api', 401],
    ['/%ff', 401],
    ['/openapi.json/', 401],
    ['/health/live/', 401],
    ['//openapi.json', 401],
    ['/OPENAPI.JSON', 401],
    ['/%2fopenapi.json', 401],
    ['/openapi.json%00', 401],
    ['/openapi.json;x', 401],
    ['/%6fpenapi%2ejson', 200],
    ['/ping?upstream=true', 401],
    ['/ping?message=hi', 200],
    ['/api/ping?message=hi', 200],
    ['/openapi.json', 200],
    ['/health/live', 200],
    ['/.well-known/oauth-protected-resource', 200],
  ] as const) {
    const {status: got, text} = await app.ask(t, path)
    t.is(got, status, `${path}: ${text}`)
  }
  for (const method of ['POST', 'DELETE', 'OPTIONS', 'PUT'])
    t.is((await app.ask(t, '/nowhere', {method})).status, 401, method)
})

test.serial('without a token, a path of RPC is refused alike with a method and without', async (t) => {
  for (const [type, path, status] of [
    ['application/json', '/People/Find', 401],
    ['application/proto', '/People/Find', 401],
    ['application/connect+json', '/Chat/Talk', 200],
    ['application/grpc-web+proto', '/Chat/Talk', 200],
  ] as const) {
    const headers = {'content-type': type, 'connect-protocol-version': '1'}
    const refusal = async (path: string) => {
      const answer = await app.ask(t, path, {method: 'POST', headers, body: '{}'})
      const {'x-request-id': _, date, ...others} = Object.fromEntries(answer.headers)
      return {status: answer.status, headers: others, text: answer.text}
    }
    const known = await refusal(path)
    t.is(known.status, status, type)
    t.deepEqual(await refusal(`${path}Not`), known, type)
  }
})

test.serial('without a token, only the tools are listed that everybody may call', async (t) => {
  const ask = (method: string, params = {}) => {
    const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'}
    return app.ask(t, '/mcp', {method: 'POST', headers, body: JSON.stringify({jsonrpc: '2.0', id: 1, method, params})})
  }
  const {status, text} = await ask('tools/list')
  t.is(status, 200)
  t.deepEqual(
    [...text.matchAll(/"name":"(\w+_\w+)"/g)].map(([, name]) => name),
    ['PingService_Send'],
  )
  t.is((await ask('tools/call', {name: 'PingService_Send', arguments: {message: 'hi'}})).status, 200)
  t.is((await ask('tools/call', {name: 'PingService_SendUpstream', arguments: {}})).status, 401)
})

test.serial('a 401 says how to log in, but not what was wrong, which is in the log', async (t) => {
  lines.length = 0
  const {status, headers, json: body} = await app.ask(t, closed, {headers: {...bearer('x.y').headers, origin: page}})
  t.is(status, 401)
  t.is(
    headers.get('www-authenticate'),
    `Bearer realm="grpc-functions", error="invalid_token", resource_metadata="${app.url('')}/.well-known/oauth-protected-resource"`,
  )
  t.is(headers.get('access-control-allow-origin'), page)
  t.is(body.error.status, 'UNAUTHENTICATED')
  t.notRegex(JSON.stringify(body), /JWT|signed/)
  t.regex(lines.join(''), /not a signed JWT/)
})

test.serial('the document about this resource names the issuers of its tokens', async (t) => {
  const {json: document} = await app.ask(t, '/.well-known/oauth-protected-resource')
  t.deepEqual(document, {
    resource: app.url(''),
    authorization_servers: [issuer.url, rsa.url],
    bearer_methods_supported: ['header'],
  })
})

test.serial('behind a front end with TLS, a 401 and the document name https URLs', async (t) => {
  const {host} = new URL(app.url(''))
  for (const [proto, scheme] of [
    ['https', 'https'],
    ['HTTPS, http', 'https'],
    ['http', 'http'],
    ['httpsx', 'http'],
  ] as const) {
    const headers = {'x-forwarded-proto': proto}
    const path = '/.well-known/oauth-protected-resource'
    t.is((await app.ask(t, path, {headers})).json.resource, `${scheme}://${host}`, proto)
    const refused = await app.ask(t, closed, {headers})
    t.true(refused.headers.get('www-authenticate')?.includes(`resource_metadata="${scheme}://${host}${path}"`), proto)
  }
})

test.serial('a document behind the path of a resource is about that one', async (t) => {
  for (const [path, resource] of [
    ['', ''],
    ['/', ''],
    ['/mcp', '/mcp'],
    ['/a/b/', '/a/b'],
  ] as const) {
    const {json: document} = await app.ask(t, `/.well-known/oauth-protected-resource${path}`)
    t.is(document.resource, app.url(resource), path)
  }
})

test('the resource is the configured URL, or else the one that the caller has used', (t) => {
  const headers = {host: 'internal:8080', 'x-forwarded-proto': 'https'}
  t.is(resourceOf({headers}, {resource: 'https://api.example/v1'}), 'https://api.example/v1')
  t.is(resourceOf({headers}, {resource: undefined}), 'https://internal:8080')
})

test('a document is about the configured resource, or one below it', (t) => {
  const document = '/.well-known/oauth-protected-resource'
  for (const [path, resource] of [
    ['', '/v1'],
    ['/v1', '/v1'],
    ['/v1/mcp', '/v1/mcp'],
    ['/v12', '/v1'],
    ['/mcp', '/v1'],
  ] as const) {
    t.is(resourceAt(document + path, 'https://a.example/v1'), `https://a.example${resource}`, path)
  }
})

test.serial('the description says which credentials are accepted, and which paths need none', async (t) => {
  const {json: document} = await app.ask(t, '/openapi.json')
  t.deepEqual(document.security, [{bearer: []}])
  t.deepEqual(document.components.securitySchemes, {bearer: {type: 'http', scheme: 'bearer'}})
  t.deepEqual(document.paths['/api/ping'].get.security, [])
  t.false('security' in document.paths['/api/ping:upstream'].get)
})

test.serial('preflights are let through, other OPTIONS are not', async (t) => {
  const headers = {
    origin: page,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'authorization',
  }
  for (const path of [closed, '/upload', '/health', '/nowhere', '/openapi.json']) {
    const answer = await app.ask(t, path, {method: 'OPTIONS', headers})
    t.is(answer.status, 204, path)
    t.is(answer.headers.get('access-control-allow-headers'), 'authorization')
  }
  t.is((await app.ask(t, closed, {method: 'OPTIONS'})).status, 401)
  t.is(
    (await app.ask(t, closed, {method: 'OPTIONS', headers: {...headers, origin: 'https://evil.example'}})).status,
    401,
  )
})

test.serial('a verified caller is let in, with a token of any issuer', async (t) => {
  for (const token of [await issuer.token(), await rsa.token(), await issuer.token({aud: ['x', 'other']})]) {
    const answer = await app.ask(t, closed, bearer(token))
    t.is(answer.status, 200, answer.text)
  }
  t.is((await app.ask(t, '/nowhere', bearer(await issuer.token()))).status, 404)
  t.is((await app.ask(t, closed, {headers: {authorization: `bEaReR   ${await issuer.token()}`}})).status, 200)
})

test.serial('an issuer with its own header is accepted only in that header', async (t) => {
  const token = await issuer.token({aud: 'iap'})
  t.is((await app.ask(t, closed, {headers: {'x-goog-iap-jwt-assertion': token}})).status, 200)
  t.is((await app.ask(t, closed, bearer(token))).status, 401)
  t.is((await app.ask(t, closed, {headers: {'x-goog-iap-jwt-assertion': await issuer.token()}})).status, 401)
  const good = bearer(await issuer.token()).headers
  t.is((await app.ask(t, closed, {headers: {...good, 'x-goog-iap-jwt-assertion': 'a.b.c'}})).status, 401)
})

const seconds = () => Math.floor(Date.now() / 1000)

/** A token whose signature is missing or cannot be valid. */
const unsigned = (header: object, claims: object, signature = '') =>
  `${[header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.${signature}`

const attacks: Readonly<Record<string, () => string | Promise<string>>> = {
  'alg none': async () => unsigned({alg: 'none'}, claimsOf(await issuer.token())),
  'alg none, with the signature of another token': async () => {
    const token = await issuer.token()
    return unsigned({alg: 'none', kid: issuer.kid}, claimsOf(token), token.split('.')[2])
  },
  'no signature': async () => (await issuer.token()).replace(/[^.]*$/, ''),
  'HS256 with the public key': async () => {
    const secret = Buffer.from(JSON.stringify(rsa.published[0]))
    return new SignJWT(claimsOf(await rsa.token())).setProtectedHeader({alg: 'HS256', kid: rsa.kid}).sign(secret)
  },
  'HS256 with the key of another issuer, by hand': async () => {
    const [, claims] = (await issuer.token()).split('.')
    const head = Buffer.from(JSON.stringify({alg: 'HS256', kid: issuer.kid})).toString('base64url')
    const secret = JSON.stringify(issuer.published[0])
    return `${head}.${claims}.${createHmac('sha256', secret).update(`${head}.${claims}`).digest('base64url')}`
  },
  'a wrong audience': () => issuer.token({aud: 'somebody-else'}),
  'no audience': () => issuer.token({aud: undefined}),
  'an audience that contains ours': () => issuer.token({aud: 'api2'}),
  'an issuer with a slash more': () => issuer.token({iss: `${issuer.url}/`}),
  'an issuer with a slash less': () => rsa.token({iss: rsa.url.replace(/\/$/, '')}),
  'the issuer in capitals': () => issuer.token({iss: issuer.url.toUpperCase()}),
  'the name of another issuer of ours': () => issuer.token({iss: rsa.url}),
  'a list of issuers': () => issuer.token({iss: [issuer.url]}),
  'no issuer': () => issuer.token({iss: undefined}),
  'no subject': () => issuer.token({sub: undefined}),
  'an empty subject': () => issuer.token({sub: ''}),
  'a subject that is no text': () => issuer.token({sub: 1}),
  expired: () => issuer.token({exp: seconds() - 61}),
  'no expiry': () => issuer.token({exp: undefined}),
  'an expiry that is text': () => issuer.token({exp: String(seconds() + 600)}),
  'not valid yet': () => issuer.token({nbf: seconds() + 120}),
  'from the future': () => issuer.token({iat: seconds() + 120}),
  huge: () => issuer.token({padding: 'x'.repeat(9000)}),
  'one that holds another': async () => issuer.signed(await issuer.token(), {cty: 'JWT'}),
  'one that holds another, without a word': async () => issuer.signed(JSON.stringify(await issuer.token())),
  'deeply nested claims': () => {
    const deep = '['.repeat(100) + ']'.repeat(100)
    return issuer.signed(`{"iss":"${issuer.url}","sub":"a","aud":"api","exp":${seconds() + 600},"deep":${deep}}`)
  },
  'a claim twice': () =>
    issuer.signed(`{"iss":"${issuer.url}","sub":"ada","sub":"eve","aud":"api","exp":${seconds() + 600}}`),
  'a claim twice, once escaped': () =>
    issuer.signed(`{"iss":"${issuer.url}","sub":"ada","s\\u0075b":"eve","aud":"api","exp":${seconds() + 600}}`),
  'a claim twice further in': () =>
    issuer.signed(`{"iss":"${issuer.url}","sub":"a","aud":"api","exp":${seconds() + 600},"o":[{"a":1,"a":2}]}`),
  'a header parameter twice': async () => {
    const [, claims] = (await issuer.token()).split('.')
    const head = Buffer.from(`{"alg":"none","alg":"ES256","kid":"${issuer.kid}"}`).toString('base64url')
    return issuer.signedText(`${head}.${claims}`)
  },
  'claims that are a list': () => issuer.signed('[]'),
  'claims that are null': () => issuer.signed('null'),
  'claims that are no UTF-8': () => issuer.signed(Buffer.from([0x7b, 0xff, 0x7d]).toString('latin1')),
  'one that says that it holds another': () => issuer.token({}, {cty: 'JWT'}),
  'a logout token': () => issuer.token({}, {typ: 'logout+jwt'}),
  'an extension that nobody knows': async () =>
    issuer.signed(JSON.stringify(claimsOf(await issuer.token())), {crit: ['x'], x: 1}),
  'a payload that is not encoded': async () =>
    issuer.signed(JSON.stringify(claimsOf(await issuer.token())), {b64: false, crit: ['b64']}),
  'a key that it brings with it': async () => {
    const other = await startIssuer()
    const token = await other.token({iss: issuer.url}, {jwk: other.published[0], kid: issuer.kid})
    await other.close()
    return token
  },
  'a key at an address that it names': async () => {
    const other = await startIssuer()
    const token = await other.token({iss: issuer.url}, {jku: `${other.url}/keys`, kid: 'key-99'})
    await other.close()
    return token
  },
  'the key of another issuer': async () => {
    const other = await startIssuer()
    const token = await other.token({iss: issuer.url}, {kid: issuer.kid})
    await other.close()
    return token
  },
  'an unknown key': () => issuer.token({}, {kid: 'key-99'}),
  'a kid that is a path': () => issuer.token({}, {kid: '../../../dev/null'}),
  'another algorithm than its key has': () => issuer.token({iss: rsa.url}, {kid: rsa.kid}),
  'five parts': async () => `${await issuer.token()}.a.b`,
  'padding in base64': async () => `${await issuer.token()}=`,
  'base64 rather than base64url': async () => `${await issuer.token()}+/`,
  'spare bits in the last character': async () => {
    const token = await issuer.token()
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1)!) ^ 1]
  },
  'a comma after it': async () => `${await issuer.token()},`,
  nothing: () => '',
  'two of them': async () => `${await issuer.token()} ${await issuer.token()}`,
}

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
}

for (const [name, make] of Object.entries(attacks)) {
  test.serial(`401 for a token: ${name}`, async (t) => {
    const token = await make()
    await isRefused(t, token)
  })
}

async function isRefused(t: ExecutionContext, token: string) {
  lines.length = 0
  const {count} = app.backend.ping
  const answer = await app.ask(t, '/ping?upstream=true', bearer(token))
  t.is(answer.status, 401, answer.text)
  t.is(app.backend.ping.count, count, 'the backend was called')
  while (lines.length === 0) await new Promise(setImmediate)
  const logged = lines.join('')
  for (const part of token.split(/[. ]/)) if (part.length > 3) t.false(logged.includes(part), logged)
}

test.serial('401 for two Authorization headers, both good', async (t) => {
  const token = await issuer.token()
  await using connection = await connectTo(app.url('/'))
  connection.get(closed, `Authorization: Bearer ${token}`, `authorization: Bearer ${token}`)
  t.is((await connection.response()).status, 401)
})

test.serial('a token is read only from its header', async (t) => {
  const token = await issuer.token()
  t.is((await app.ask(t, `${closed}?access_token=${token}`)).status, 401)
  t.is((await app.ask(t, closed, {headers: {cookie: `access_token=${token}`}})).status, 401)
  t.is((await app.ask(t, closed, {headers: {'proxy-authorization': `Bearer ${token}`}})).status, 401)
  t.is((await app.ask(t, closed, {headers: {'x-serverless-authorization': `Bearer ${token}`}})).status, 401)
})

test.serial('no mutation of a valid token passes', async (t) => {
  const token = await issuer.token()
  t.is((await app.ask(t, closed, bearer(token))).status, 200)
  for (const mutation of mutated(token, 1000, randomBytes(4).readUInt32BE())) {
    const {status} = await fetch(app.url(closed), bearer(mutation))
    if (status !== 401) t.fail(`${status} for ${mutation} in place of ${token}`)
  }
  t.pass()
})

test.serial('ping with ?upstream=true is another method, and is not open because ping is', async (t) => {
  const ping = await startApp({
    target: 'ping',
    env: {AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`, AUTH_PUBLIC: 'ping.PingService/Send'},
  })
  t.teardown(() => ping.close())
  t.is((await ping.ask(t, '/?upstream=false')).status, 200)
  t.is((await ping.ask(t, '/?upstream=true')).status, 401)
  t.is((await ping.ask(t, '/?upstream=true', bearer(await issuer.token()))).status, 200)
})

test.serial('claims that do not meet the conditions are 403, and the log names the rule', async (t) => {
  lines.length = 0
  const upstream = '/ping?upstream=true'
  const asked = async (claims: object, path = upstream) =>
    (await app.ask(t, path, bearer(await issuer.token({...claims})))).status
  t.is(await asked({email: 'ada@example.com'}), 200)
  t.is(await asked({email: 'ada@example.com', email_verified: true}), 200)
  t.is(await asked({email: 'ada@example.com', email_verified: 'true'}), 200)
  for (const unverified of [false, 'false', null, 0, '', ['true']])
    t.is(await asked({email: 'ada@example.com', email_verified: unverified}), 403, JSON.stringify(unverified))
  t.is(await asked({email: 'eve@example.com'}), 403)
  t.is(await asked({email: ['eve@example.com', 'grace@example.com']}), 200)
  t.is(await asked({}), 403)
  t.regex(lines.join(''), /conditions of AUTH_ALLOW for ping\.PingService\/SendUpstream/)
  const user = '/api/users?name=ada'
  t.is(await asked({scope: 'users.read users.write'}, user), 200)
  t.is(await asked({scope: 'users.readall'}, user), 403)
  const refused = await app.ask(t, user, {headers: {...bearer(await issuer.token()).headers, origin: page}})
  t.is(refused.json.error.status, 'PERMISSION_DENIED')
  t.is(refused.headers.get('access-control-allow-origin'), page)
  t.is(
    refused.headers.get('www-authenticate'),
    `Bearer realm="grpc-functions", error="insufficient_scope", resource_metadata="${app.url('')}/.well-known/oauth-protected-resource"`,
  )
})

test.serial('no function can bypass the conditions of the method that it calls', async (t) => {
  const {sendUpstream} = createClient(app.runtime, PingService)
  const handler: Handler = async (scope) => {
    await sendUpstream(scope, {message: 'hi'})
    return json({caller: scope.caller?.kind === 'token' ? scope.caller.subject : null})
  }
  const {url, close} = await app.serve(handler)
  const asked = async (claims: object) => await fetch(url, bearer(await issuer.token({...claims})))
  t.is((await asked({email: 'eve@example.com'})).status, 403)
  const response = await asked({email: 'ada@example.com'})
  t.deepEqual(await response.json(), {caller: 'ada'})
  const open = await app.serve(
    Object.assign((scope: Parameters<Handler>[0]) => handler(scope), {access: {isOpen: true as const}}),
  )
  t.is((await fetch(open.url)).status, 401)
  await Promise.all([close(), open.close()])
})

test.serial('the backend gets the verified claims, and no caller can set them', async (t) => {
  const claims = async (init: RequestInit, path: string) => {
    const call = app.backend.ping.next()
    const answer = app.ask(t, path, init)
    const {metadata, answer: go} = await call
    go()
    t.is((await answer).status, 200)
    t.deepEqual(
      Object.keys(metadata.getMap()).filter((key) => /proxy.jwt/.test(key)),
      [],
      'what a proxy vouches for goes to us alone',
    )
    return metadata.get('x-verified-claims-bin').map((value) => JSON.parse(String(value)))
  }
  const forged = Buffer.from('{"sub":"eve"}').toString('base64')
  const headers = {
    'grpc-metadata-x-verified-claims-bin': forged,
    'grpc-metadata-x_verified_claims-bin': forged,
    'grpc-metadata-x-verified-claims': 'eve',
    'grpc-metadata-x_proxy-jwt': 'forged',
    'grpc-metadata-x-proxy-jwt': 'forged',
    'grpc-metadata-x-proxy_jwt': 'forged',
    'x-verified-claims-bin': forged,
  }
  for (const path of ['/ping?message=hi', '/api/ping?message=hi']) {
    t.deepEqual(await claims({headers}, path), [])
    const token = await issuer.token({hd: 'example.com'})
    t.deepEqual(await claims({headers: {...headers, ...bearer(token).headers}}, path), [claimsOf(token)])
  }
  // RPC forwards headers under their own names, so it would also forward the proof itself if nothing removed it.
  const token = await issuer.token({aud: 'proxy'})
  for (const [type, body] of [
    ['application/json', '{}'],
    ['application/grpc-web+proto', '\0\0\0\0\0'],
  ] as const) {
    const proof = {'x_proxy-jwt': token, 'connect-protocol-version': '1', 'content-type': type}
    const init = {method: 'POST', headers: {...headers, ...proof}, body}
    t.deepEqual(await claims(init, '/ping.PingService/Send'), [claimsOf(token)], type)
  }
})

for (const AUTH of ['iam', 'none']) {
  test.serial(`under AUTH=${AUTH} there is no caller, and no request can set one`, async (t) => {
    const guarded = await startApp({env: {AUTH, GATEWAY_DESCRIPTORS: schema.path, MCP: 'true'}, backend: {services}})
    t.teardown(() => guarded.close())
    const seen: unknown[] = []
    const {url} = await guarded.serve((scope) => {
      seen.push(scope.caller)
      return json({})
    })
    const forged = Buffer.from('{"sub":"eve"}').toString('base64')
    const headers = {
      ...bearer(await issuer.token()).headers,
      'x-goog-iap-jwt-assertion': await issuer.token({aud: 'iap'}),
      'x-verified-claims-bin': forged,
      'X-Verified-Claims-Bin': forged,
      'grpc-metadata-x-verified-claims-bin': forged,
      'grpc-metadata-x_verified_claims-bin': forged,
      'grpc-metadata-x-goog-iap-jwt-assertion': 'x',
    }
    t.is((await fetch(url, {headers})).status, 200)
    t.deepEqual(seen, [undefined])
    const tool = {jsonrpc: '2.0', id: 1, method: 'tools/call', params: {name: 'PingService_Send', arguments: {}}}
    for (const [path, body, type] of [
      ['/ping?message=hi', undefined, undefined],
      ['/api/ping?message=hi', undefined, undefined],
      ['/ping.PingService/Send', '{}', 'application/json'],
      ['/ping.PingService/Send', '\0\0\0\0\0', 'application/grpc-web+proto'],
      ['/mcp', JSON.stringify(tool), 'application/json'],
    ] as const) {
      const call = guarded.backend.ping.next()
      const method = body === undefined ? 'GET' : 'POST'
      const more = {
        'content-type': type ?? '',
        'connect-protocol-version': '1',
        accept: '*/*, application/json, text/event-stream',
      }
      const answer = fetch(guarded.url(path), {method, headers: {...headers, ...more}, body: body ?? null})
      const {metadata, answer: go} = await call
      go()
      t.is((await answer).status, 200)
      const keys = Object.keys(metadata.getMap()).filter((key) => /verified|goog/.test(key))
      t.deepEqual(keys, [], path)
    }
  })
}

test.serial('no function can change the caller of the next request with the same token', async (t) => {
  const {url, close} = await app.serve((scope) => {
    const {caller} = scope
    if (caller?.kind !== 'token') return json({})
    const {claims} = caller as unknown as {claims: {sub: string; roles: string[]}}
    t.throws(() => claims.roles.push('admin'), {instanceOf: TypeError})
    t.throws(() => Object.assign(claims, {sub: 'eve'}), {instanceOf: TypeError})
    t.throws(() => Object.assign(caller, {subject: 'eve'}), {instanceOf: TypeError})
    return json({...claims, subject: caller.subject})
  })
  const headers = bearer(await issuer.token({sub: 'ada', roles: ['reader']}))
  for (let request = 0; request < 2; request++)
    t.like(await (await fetch(url, headers)).json(), {sub: 'ada', roles: ['reader'], subject: 'ada'})
  await close()
})

test.serial('the log has the subject and the issuer of each request', async (t) => {
  lines.length = 0
  t.is((await app.ask(t, closed, bearer(await issuer.token({sub: 'grace'})))).status, 200)
  t.deepEqual(JSON.parse(lines.at(-1)!).caller, {subject: 'grace', issuer: issuer.url})
})

test.serial('where no credentials are required, invalid ones are ignored', async (t) => {
  t.is((await app.ask(t, '/ping?message=hi', bearer('garbage'))).status, 200)
  t.is((await app.ask(t, '/openapi.json', bearer(await issuer.token({exp: 1})))).status, 200)
})

test('a condition or an opening for something that the schema does not have is an error at start', (t) => {
  const env = {
    BACKEND_URL: 'http://localhost:1',
    AUTH: 'jwt',
    AUTH_ISSUERS: 'https://idp.example audience=a',
    AUTH_PUBLIC: 'ping.PingService /nowhere ping.PingService/Sent',
    AUTH_ALLOW: 'Rep hd=x; Repo/CreateRepo hd=x',
    AUTH_WEBHOOK:
      'ping.PingService/Sned github secret=/none; Repo/CreateRepo github secret=/none; /x github secret=/none',
  }
  const error = t.throws(() => gateway(runtimeOf(env)), {instanceOf: ConfigError})
  t.is(
    error?.message,
    'AUTH_PUBLIC: there is no service or method "ping.PingService/Sent": did you mean ping.PingService/Send?\nAUTH_ALLOW: there is no service or method "Rep": did you mean Repo?\nAUTH_WEBHOOK: there is no service or method "ping.PingService/Sned": did you mean ping.PingService/Send?',
  )
})

test('an opening for the path of a method is an error at start', (t) => {
  const env = {
    BACKEND_URL: 'http://localhost:1',
    AUTH: 'jwt',
    AUTH_ISSUERS: 'https://idp.example audience=a',
    AUTH_PUBLIC: '/api/ping /health',
    AUTH_WEBHOOK: '/api/ping:upstream github secret=/none',
  }
  t.throws(() => gateway(runtimeOf(env)), {
    instanceOf: ConfigError,
    message:
      'AUTH_PUBLIC: "/api/ping" is a path of ping.PingService/Send: expected the method itself\nAUTH_WEBHOOK: "/api/ping:upstream" is a path of ping.PingService/SendUpstream: expected the method itself',
  })
})

test('the document about an API names only issuers whose tokens clients may send to it', (t) => {
  const issuer = {issuer: 'https://own.example', header: undefined}
  const ofProxy = {issuer: 'https://proxy.example', header: 'x-goog-iap-jwt-assertion'}
  const issuers = [issuer, ofProxy, issuer] as unknown as AuthConfig['issuers']
  t.deepEqual(resourceDocument('https://api.example', {issuers}).authorization_servers, ['https://own.example'])
})

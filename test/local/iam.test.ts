import {once} from 'node:events'
import http2 from 'node:http2'
import {Client, credentials, Metadata, status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {type BackendOptions, startBackend} from '../../local/grpc/backend.ts'
import type {TokenRequest} from '../../local/identity/id-tokens.ts'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {Repo} from '../../src/gen/repo_pb.js'
import {KindsService} from '../clients/kinds.ts'
import {ask, begin, clientOf} from './caller.ts'

const {send, sendUpstream} = PingService.method

async function start(t: ExecutionContext, options: BackendOptions = {}) {
  const metadata = await startMetadataServer()
  const backend = await startBackend({iam: metadata, ...options})
  const client = clientOf(backend.target)
  t.teardown(async () => {
    client.close()
    await backend.close()
    await metadata.close()
  })
  const bearer = async (request: Partial<TokenRequest> = {}) => ({
    authorization: `Bearer ${await metadata.mint({audience: backend.url, ...request})}`,
  })
  return {metadata, backend, client, bearer}
}

/** Sends a request over plain HTTP/2, and returns the response. */
async function post(session: http2.ClientHttp2Session, path: string, headers: http2.OutgoingHttpHeaders, body = '') {
  const stream = session.request({':method': 'POST', ':path': path, 'content-type': 'application/grpc', ...headers})
  stream.end(body)
  const [response] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader]
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += chunk
  return {response, text}
}

test('a call with a good ID token reaches the service', async (t) => {
  const {backend, client, bearer} = await start(t)
  const metadata = await bearer()
  for (const index of [1, 2]) {
    const {status: end, replies} = await ask(client, send, [{message: 'hello'}], {metadata})
    t.is(end.code, status.OK)
    t.like(replies, [{pong: {index, message: 'hello'}}])
  }
  t.deepEqual(backend.iam?.refusals, [])
})

test('a call without a good ID token never reaches the service', async (t) => {
  const {backend, client, bearer} = await start(t)
  const refused: [string, Record<string, string>, RegExp][] = [
    ['no token', {}, /no ID token/],
    ['no bearer', {authorization: 'Basic bWU6bWU='}, /no ID token/],
    ['no JWT', {authorization: 'Bearer ya29.access-token'}, /Invalid Compact JWS/],
    ['expired', await bearer({expiresIn: -1}), /"exp" claim/],
    ['other audience', await bearer({audience: 'https://other.a.run.app'}), /"aud" claim/],
    ['other issuer', await bearer({issuer: 'https://accounts.example.com'}), /"iss" claim/],
    ['other key', await bearer({forged: true}), /signature verification failed/],
    ['no expiry', await bearer({claims: {exp: undefined}}), /"exp" claim/],
  ]
  for (const [name, metadata, reason] of refused) {
    const {status: end} = await ask(client, send, [{message: name}], {metadata})
    t.is(end.code, status.UNAUTHENTICATED, name)
    t.regex(end.details, /401/, name)
    t.regex(backend.iam?.refusals.at(-1)?.reason ?? '', reason, name)
  }
  t.deepEqual(backend.log, [])
  t.is(backend.ping.count, 0)
})

test('a principal without roles/run.invoker is forbidden', async (t) => {
  const {backend, client, bearer} = await start(t, {invokers: ['me@here.iam.gserviceaccount.com']})
  const you = await ask(client, send, [{}], {metadata: await bearer({email: 'you@there'})})
  t.is(you.status.code, status.PERMISSION_DENIED)
  t.regex(backend.iam?.refusals[0]?.reason ?? '', /"you@there" lacks roles\/run\.invoker/)
  const me = await bearer({email: 'me@here.iam.gserviceaccount.com'})
  t.is((await ask(client, send, [{}], {metadata: me})).status.code, status.OK)
  backend.iam!.invokers = []
  t.is((await ask(client, send, [{}], {metadata: me})).status.code, status.PERMISSION_DENIED)
  t.is(backend.log.length, 1)
})

test('a token is not accepted after its expiry, even if it was accepted before', async (t) => {
  const {backend, client, bearer} = await start(t)
  const metadata = await bearer({expiresIn: 60})
  t.is((await ask(client, send, [{}], {metadata})).status.code, status.OK)
  backend.iam!.now = () => Date.now() + 60_000
  t.is((await ask(client, send, [{}], {metadata})).status.code, status.UNAUTHENTICATED)
  t.regex(backend.iam?.refusals[0]?.reason ?? '', /"exp" claim/)
})

test('a refusal is a web page without trailers, as from Cloud Run', async (t) => {
  const {backend, bearer} = await start(t, {invokers: []})
  const session = http2.connect(backend.url)
  t.teardown(() => session.close())
  const none = await post(session, '/ping.PingService/Send?a=<b>', {})
  t.is(none.response[':status'], 401)
  t.is(none.response['content-type'], 'text/html; charset=UTF-8')
  t.regex(String(none.response['www-authenticate']), /^Bearer error="invalid_token"/)
  t.is(none.response['grpc-status'], undefined)
  t.regex(none.text, /<h1>Error: Unauthorized<\/h1>/)
  t.false(none.text.includes('<b>'))
  const forbidden = await post(session, '/', await bearer())
  t.is(forbidden.response[':status'], 403)
  t.regex(forbidden.text, /<h1>Error: Forbidden<\/h1>/)
})

test('X-Serverless-Authorization comes before Authorization', async (t) => {
  const {client, bearer} = await start(t)
  const {authorization} = await bearer()
  const metadata = {authorization: 'Bearer of-the-service', 'x-serverless-authorization': authorization}
  t.is((await ask(client, send, [{}], {metadata})).status.code, status.OK)
})

test('a refusal in the middle of a large body affects nobody else on the connection', async (t) => {
  const {backend, bearer} = await start(t, {window: 65535})
  const session = http2.connect(backend.url)
  t.teardown(() => session.close())
  const good = await bearer()
  const held = backend.ping.next()
  const other = post(session, '/ping.PingService/Send', good, '\0\0\0\0\0')
  await held

  for (const headers of [{}, await bearer({expiresIn: -1})]) {
    const upload = session.request({
      ':method': 'POST',
      ':path': '/Repo/CreateRepo',
      'content-type': 'application/grpc',
      ...headers,
    })
    // Much more than any window: the server must read and drop it, or reset the stream.
    for (let index = 0; index < 64; index++) upload.write(Buffer.alloc(64 * 1024))
    const [[response]] = await Promise.all([once(upload, 'response'), once(upload.resume(), 'close')])
    t.is(response[':status'], 401)
    t.is(upload.rstCode, http2.constants.NGHTTP2_NO_ERROR)
  }

  ;(await held).answer()
  t.is((await other).response[':status'], 200)
  t.is((await post(session, '/ping.PingService/Send', good, '\0\0\0\0\0')).response[':status'], 200)
  t.is(backend.connections(), 1)
  t.is(backend.repo.open().length, 0)
})

test('a caller that goes away while its token is verified leaves nothing behind', async (t) => {
  const {backend, bearer} = await start(t)
  const session = http2.connect(backend.url)
  t.teardown(() => session.close())
  const stream = session.request({':method': 'POST', ':path': '/Repo/CreateRepo', ...(await bearer())})
  stream.on('error', () => {})
  stream.write('x')
  stream.close(http2.constants.NGHTTP2_CANCEL)
  await once(stream, 'close')
  t.is((await post(session, '/ping.PingService/Send', await bearer(), '\0\0\0\0\0')).response[':status'], 200)
  await backend.idle()
  t.like(backend.log, {length: 1})
})

test('the first messages of a call wait while its token is verified', async (t) => {
  const {backend, client, bearer} = await start(t)
  const {call, status: end, replies} = begin(client, Repo.method.createRepo, {metadata: await bearer()})
  call.write({body: {case: 'context', value: {name: 'one', creatorId: 'me'}}})
  for (let index = 0; index < 10; index++) call.write({body: {case: 'data', value: Buffer.alloc(100_000)}})
  call.end()
  t.is((await end).code, status.OK)
  t.like(replies, [{size: 1_000_000}])
  t.like(backend.repo.repos, [{size: 1_000_000, name: 'one', creatorId: 'me'}])
})

test('SendUpstream calls the backend itself, through the same check', async (t) => {
  const {backend, client, bearer} = await start(t)
  const metadata = {...(await bearer()), 'x-request-id': 'id-1'}
  const {status: end, replies} = await ask(client, sendUpstream, [{message: 'up'}], {metadata})
  t.is(end.code, status.OK)
  t.like(replies, [{pong: {index: 1, message: 'up'}}])
  t.deepEqual(
    backend.log.map(({method, requestId}) => [method, requestId]),
    [
      ['/ping.PingService/Send', 'id-1'],
      ['/ping.PingService/SendUpstream', 'id-1'],
    ],
  )
  t.is(backend.connections(), 2)
})

test('keys that cannot be fetched are the front end’s error, not the caller’s', async (t) => {
  const {backend, client, bearer} = await start(t, {
    iam: {issuer: 'https://accounts.google.com', keys: () => Promise.reject(new Error('unreachable'))},
  })
  const {status: end} = await ask(client, send, [{}], {metadata: await bearer()})
  t.is(end.code, status.UNAVAILABLE)
  t.like(backend.iam?.refusals, [{status: 503, reason: 'unreachable'}])
})

test('without the check every call is accepted', async (t) => {
  const {backend, client} = await start(t, {iam: undefined})
  t.is((await ask(client, send, [{}])).status.code, status.OK)
  t.is(backend.iam, undefined)
})

test('a call that sends no message is answered, also when its token has to be verified first', async (t) => {
  const metadata = await startMetadataServer()
  const backend = await startBackend({iam: metadata, services: [new KindsService()]})
  const client = new Client(backend.target, credentials.createInsecure())
  const sent = new Metadata()
  sent.set('authorization', `Bearer ${await metadata.mint({audience: backend.url})}`)
  const call = client.makeBidiStreamRequest('/test.Kinds/Both', Buffer.from, Buffer.from, sent)
  call.end()
  call.resume()
  const [{code}] = (await once(call, 'status')) as [{code: number}]
  t.is(code, 0)
  client.close()
  await backend.close()
  await metadata.close()
})

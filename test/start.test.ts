import {execFile} from 'node:child_process'
import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {createServer, type IncomingMessage, request} from 'node:http'
import type {AddressInfo} from 'node:net'
import {connect} from 'node:net'
import {networkInterfaces} from 'node:os'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import {promisify} from 'node:util'
import test from 'ava'
import {startBackend} from '../local/grpc/backend.ts'
import {startStack} from '../local/stack.ts'
import {createClient} from '../src/clients/service-client.ts'
import {PingService} from '../src/gen/ping/ping_pb.js'
import {TestLife} from './clients/life.ts'
import {runtimeOf} from './clients/runtime.ts'
import {anyLeft, interrupt, npmRun, runScript} from './helpers/start.ts'

const refused = async (url: string) => {
  const {hostname, port} = new URL(url)
  return await refusedAt(Number(port), hostname)
}

const refusedAt = async (port: number, address: string) => {
  const socket = connect(port, address)
  const [error] = await once(socket, 'error')
  return (error as NodeJS.ErrnoException).code ?? (error as AggregateError).errors?.[0]?.code
}

/** GET /ping at 127.0.0.1 with this Host header. */
const pingFor = async (port: number, host: string) => {
  const sent = request({port, host: '127.0.0.1', path: '/ping?message=hi', headers: {host}}).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return {status: response.statusCode, body: JSON.parse(await text(response))}
}

// One after the other: each starts three processes.
test.serial('npm start starts everything, prints what to try, and Ctrl-C leaves nothing behind', async (t) => {
  const started = npmRun(t, 'start', {PORT: '0'})
  const url = (await started.line(/^ready /)).slice('ready '.length)
  t.is(started.lines.filter((line) => line.trim().startsWith('curl ')).length, 3)
  const answer = await fetch(`${url}/ping?message=hi`)
  t.is(answer.status, 200)
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  const [, path = ''] = /`new WebSocket\('ws:\/\/localhost:8080([^']*)'\)`/.exec(readme) ?? []
  const repos = new WebSocket(`${url.replace('http', 'ws')}${path}`)
  await once(repos, 'open')
  for (const text of ['{"context": {"creatorId": "me", "name": "frames"}}', '{"data": "aGVsbG8="}', ''])
    repos.send(text)
  t.is(JSON.parse((await once(repos, 'message'))[0].data).size, 5)
  const chat = new WebSocket(`${url.replace('http', 'ws')}/api/chat`)
  await once(chat, 'open')
  chat.send('{"content": "hi"}')
  const [{data}] = await once(chat, 'message')
  t.deepEqual(JSON.parse(data), {reply: 'You said: hi'})
  chat.send('')
  t.is((await once(chat, 'close'))[0].code, 1000)
  const storage = started.lines.find((line) => line.startsWith('storage'))?.split(/\s+/)[1] ?? ''
  const listing = (await (await fetch(`${storage}/storage/v1/b/samples/o`)).json()) as {items: {size: string}[]}
  t.true(new Set(listing.items.map(({size}) => size)).size >= 4, 'samples of different sizes')
  interrupt(started)
  await started.exited
  t.false(anyLeft(started))
  t.is(await refused(url), 'ECONNREFUSED')
  t.is(await refused(storage), 'ECONNREFUSED')
})

test.serial("AUTH=jwt npm start accepts tokens of the local metadata server, in README's requests", async (t) => {
  const started = runScript(t, 'start', {PORT: '0', AUTH: 'jwt'})
  const url = (await started.line(/^ready /)).slice('ready '.length)
  const metadata = started.lines.find((line) => line.startsWith('metadata'))?.split(/\s+/)[1] ?? ''
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  const [, block = ''] = /```sh\n(TOKEN=[^`]*)```/.exec(readme) ?? []
  const script = block.replaceAll('http://localhost:8081', metadata).replaceAll('http://localhost:8080', url)
  const {stdout} = await promisify(execFile)('sh', ['-c', script])
  const [refused = '', answered = ''] = stdout.split(/(?=\{"pong")/)
  t.regex(refused, /^HTTP\/1\.1 401 /)
  t.is(JSON.parse(answered).pong.message, 'hi')

  // The page gets data that only the stack has: a token, objects of Storage, and the log lines of a call.
  t.is((await fetch(url, {headers: {accept: 'text/html'}})).headers.get('content-type'), 'text/html; charset=utf-8')
  t.regex(started.lines.join('\n'), new RegExp(`^page +${url}/$`, 'm'))
  const local = async (path: string, headers = {}) => await fetch(`${url}/console/local${path}`, {headers})
  const known = (await (await local('')).json()) as {tokens: boolean; objects: object[]}
  t.true(known.tokens)
  t.true(known.objects.some((object) => 'object' in object && object.object === 'hello.txt'))
  const {token, audience} = (await (await local('/token')).json()) as {token: string; audience: string}
  t.is(audience, 'local')
  const headers = {authorization: `Bearer ${token}`, 'x-request-id': 'a-call'}
  const schema = (await (await fetch(`${url}/console/schema.json`, {headers})).json()) as {functions: {path: string}[]}
  t.deepEqual(
    schema.functions.map(({path}) => path),
    ['/ping', '/upload', '/upload/session', '/health', '/finalized'],
  )
  t.is((await fetch(`${url}/ping?message=hi`, {headers: {...headers, 'x-request-id': 'another'}})).status, 200)
  const {lines} = (await (await local('/logs?id=another')).json()) as {lines: string[]}
  t.deepEqual(
    lines.map((line) => JSON.parse(line).message.replace(/\d+ ms/, '… ms')),
    ['GET /ping 200 in … ms'],
  )
  // Pages of other sites get none of these.
  t.is((await local('/token', {'sec-fetch-site': 'cross-site'})).status, 404)
  t.is((await local('/token')).headers.get('access-control-allow-origin'), null)
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test.serial(`${signal} of npm start ends all its processes`, async (t) => {
    const started = npmRun(t, 'start', {PORT: '0'})
    const url = (await started.line(/^ready /)).slice('ready '.length)
    const storage = started.lines.find((line) => line.startsWith('storage'))?.split(/\s+/)[1] ?? ''
    started.process.kill(signal)
    // Its outputs close when the last process that inherited them has ended.
    await started.exited
    t.is(await refused(url), 'ECONNREFUSED')
    t.is(await refused(storage), 'ECONNREFUSED')
  })

  test.serial(`${signal} of npm run backend ends it`, async (t) => {
    const started = npmRun(t, 'backend', {PORT: '0'})
    const [url = ''] = /http:\/\/\S+:\d+/.exec(await started.line(/ready/)) ?? []
    started.process.kill(signal)
    await started.exited
    t.is(await refused(url), 'ECONNREFUSED')
  })
}

test.serial('npm start accepts only requests from and for this machine, and only from its pages', async (t) => {
  const started = runScript(t, 'start', {PORT: '0'})
  const {port} = new URL((await started.line(/^ready /)).slice('ready '.length))
  const addresses = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const others = addresses.filter(({internal, scopeid}) => !internal && !scopeid).map(({address}) => address)
  // On Linux all of 127.0.0.0/8 is loopback, so a server on all interfaces listens there too.
  if (process.platform === 'linux') others.push('127.0.0.2')
  t.true(others.length > 0)
  for (const address of others) t.is(await refusedAt(Number(port), address), 'ECONNREFUSED', address)
  const own = addresses.filter(({internal}) => internal).map(({address, family}) => [address, family] as const)
  for (const [address, family] of own) {
    const host = family === 'IPv6' ? `[${address}]` : address
    t.is((await fetch(`http://${host}:${port}/ping?message=hi`)).status, 200, host)
  }
  for (const host of [
    'localhost',
    `localhost:${port}`,
    'LOCALHOST:1',
    'app.localhost:1',
    '127.0.0.1',
    '127.9.9.9:80',
    '[::1]:80',
  ]) {
    t.is((await pingFor(Number(port), host)).status, 200, host)
  }
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'notlocalhost',
    '10.0.0.1',
    `${'a'.repeat(9000)}.example`,
  ]) {
    const {status, body} = await pingFor(Number(port), host)
    t.is(status, 403, host)
    t.is(body.error.status, 'PERMISSION_DENIED')
    t.true(body.error.message.length < 300)
  }

  // Pages of this machine may call every function, and no others.
  const url = `http://localhost:${port}`
  const preflight = async (path: string, origin: string) => {
    const {headers} = await fetch(`${url}${path}`, {
      method: 'OPTIONS',
      headers: {origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type'},
    })
    return [headers.get('access-control-allow-origin'), headers.get('access-control-allow-methods')]
  }
  for (const origin of ['http://localhost:5173', 'http://localhost', 'https://127.0.0.1:8443', 'http://[::1]:3000']) {
    t.deepEqual(await preflight('/upload', origin), [origin, 'OPTIONS, POST'])
    t.deepEqual(await preflight('/api/repos', origin), [origin, 'OPTIONS, POST'])
  }
  for (const origin of ['https://foreign.example', 'http://localhost.foreign.example', 'null']) {
    t.deepEqual(await preflight('/upload', origin), [null, null])
    const sent = await fetch(`${url}/ping`, {method: 'POST', headers: {origin}, body: '{}'})
    t.is(sent.status, 403)
  }
  interrupt(started)
  await started.exited
  t.deepEqual(
    started.lines.filter((line) => line.includes('evil')),
    [],
  )
})

test.serial("a developer's own credentials and proxy do not prevent npm start from getting ready", async (t) => {
  const proxy = 'http://127.0.0.1:9'
  const started = runScript(t, 'start', {
    PORT: '0',
    GOOGLE_APPLICATION_CREDENTIALS: '/nowhere/key.json',
    http_proxy: proxy,
  })
  const url = (await started.line(/^ready /)).slice('ready '.length)
  t.is((await fetch(`${url}/ping?message=hi`)).status, 200)
  interrupt(started)
  await started.exited
})

test.serial('two stacks do not interfere', async (t) => {
  const two = [runScript(t, 'start', {PORT: '0'}), runScript(t, 'start', {PORT: '0'})]
  const urls = await Promise.all(two.map(async (started) => (await started.line(/^ready /)).slice('ready '.length)))
  const storages = two.map(({lines}) => lines.find((line) => line.startsWith('storage'))?.split(/\s+/)[1] ?? '')
  // They do not share data: an object stored in one can be uploaded only by the functions of that one.
  const name = encodeURIComponent('only here')
  const stored = await fetch(`${storages[0]}/upload/storage/v1/b/samples/o?uploadType=media&name=${name}`, {
    method: 'POST',
    body: 'x',
  })
  t.is(stored.status, 200)
  const body = JSON.stringify({bucket: 'samples', object: 'only here', context: {creatorId: 'me', name: 'it'}})
  const headers = {'content-type': 'application/json'}
  const statuses = urls.map(async (url) => (await fetch(`${url}/upload`, {method: 'POST', headers, body})).status)
  t.deepEqual(await Promise.all(statuses), [200, 404])
  // One continues when the other has ended.
  interrupt(two[0]!)
  await two[0]!.exited
  t.is(await refused(urls[0]!), 'ECONNREFUSED')
  t.is((await fetch(`${urls[1]}/ping?message=hi`)).status, 200)
  interrupt(two[1]!)
  await Promise.all(two.map(({exited}) => exited))
})

test.serial('servers that the environment names are not started', async (t) => {
  const stack = await startStack()
  const {BACKEND_URL, BACKEND_AUDIENCE, GCE_METADATA_HOST, STORAGE_EMULATOR_HOST} = stack.env
  const env = {BACKEND_URL, BACKEND_AUDIENCE, GCE_METADATA_HOST, STORAGE_EMULATOR_HOST} as Record<string, string>
  const started = runScript(t, 'start', {PORT: '0', ...env})
  const url = (await started.line(/^ready /)).slice('ready '.length)
  const calls = stack.backend?.log.length ?? 0
  t.is((await fetch(`${url}/ping?message=hi`)).status, 200)
  t.is(stack.backend?.log.length, calls + 1)
  interrupt(started)
  await started.exited
  await stack.close()
})

test.serial('a backend without grpc.health.v1 is ready as soon as it answers', async (t) => {
  const backend = await startBackend({healthService: false})
  const started = runScript(t, 'start', {PORT: '0', BACKEND_URL: backend.url})
  const url = (await started.line(/^ready /)).slice('ready '.length)
  t.true(started.lines.includes(`note       ${backend.url}: it answers, and has no grpc.health.v1.Health`))
  t.is((await fetch(`${url}/ping?message=hi`)).status, 200)
  interrupt(started)
  await started.exited
  await backend.close()
})

test.serial('the error for a port that is in use names it', async (t) => {
  const taken = createServer().listen(0)
  await once(taken, 'listening')
  const port = String((taken.address() as AddressInfo).port)
  const started = runScript(t, 'start', {PORT: port})
  t.not(await started.exited, 0)
  t.true(started.lines.some((line) => line.includes(`PORT="${port}" is in use`)))
  t.false(anyLeft(started))
  taken.close()
})

test.serial('npm run backend serves only the gRPC services, on PORT', async (t) => {
  const started = npmRun(t, 'backend', {PORT: '0'})
  const [url = ''] = /http:\/\/\S+:\d+/.exec(await started.line(/ready/)) ?? []
  const runtime = runtimeOf({BACKEND_URL: url, BACKEND_AUDIENCE: 'none'})
  t.teardown(() => runtime.close())
  const {pong} = await createClient(runtime, PingService).send(new TestLife(), {message: 'hi'})
  t.is(pong?.message, 'hi')
  // Alone: no other address is printed.
  t.deepEqual([...new Set(started.lines.flatMap((line) => line.match(/http:\/\/[\w.:]+:\d+/g) ?? []))], [url])
  interrupt(started)
  await started.exited
  t.false(anyLeft(started))
})

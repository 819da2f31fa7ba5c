import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {createInterface} from 'node:readline'
import {fileURLToPath} from 'node:url'
import {status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {Health} from '../../src/gen/health/v1/health_pb.js'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {ask, begin, clientOf} from './caller.ts'

const {send, sendUpstream} = PingService.method

/** Starts the program, and waits for its ready line. */
async function start(t: ExecutionContext, env: Record<string, string> = {}) {
  const program = fileURLToPath(new URL('../../local/backend-main.ts', import.meta.url))
  const child = spawn(process.execPath, [program], {
    env: {...process.env, PORT: '0', ...env},
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value ?? 'null')
  const {message} = await next()
  const url = /^ready (http:\/\/127\.0\.0\.1:\d+)$/.exec(message)?.[1] ?? ''
  const client = clientOf(new URL(url).host)
  t.teardown(() => {
    client.close()
    child.kill('SIGKILL')
  })
  return {child, next, url, client}
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  const [code] = await once(child, 'exit')
  return code
}

test('the backend alone accepts every call, and logs it', async (t) => {
  const {child, next, client} = await start(t)
  const options = {metadata: {'x-request-id': 'id-1'}}
  t.like((await ask(client, send, [{message: 'hi'}], options)).replies, [{pong: {index: 1, message: 'hi'}}])
  t.like(await next(), {
    severity: 'INFO',
    method: '/ping.PingService/Send',
    code: 'OK',
    requestId: 'id-1',
    status: 'OK',
  })
  const exit = exitOf(child)
  child.kill('SIGTERM')
  t.is(await exit, 0)
})

test('SIGTERM ends the backend once the calls in flight are answered', async (t) => {
  const {child, next, client} = await start(t)
  const {call, status: end} = begin(client, Health.method.watch, {deaf: true})
  call.end({})
  await call[Symbol.asyncIterator]().next()
  const exit = exitOf(child)
  child.kill('SIGTERM')
  t.regex((await next()).message, /^SIGTERM: ending, with 1 calls in flight/)
  call.cancel()
  t.is((await end).code, status.CANCELLED)
  t.is(await exit, 0)
})

test('the backend alone calls the configured upstream, and requires the configured tokens', async (t) => {
  const metadata = await startMetadataServer()
  t.teardown(() => metadata.close())
  const guarded = await start(t, {METADATA_JWKS_URL: metadata.jwksUrl, AUDIENCE: 'https://ping.example'})
  const open = await start(t, {UPSTREAM_URL: guarded.url})
  t.is((await ask(open.client, sendUpstream, [{}])).status.code, status.UNAUTHENTICATED)
  const authorization = `Bearer ${await metadata.mint({audience: 'https://ping.example'})}`
  const {status: end, replies} = await ask(open.client, sendUpstream, [{message: 'up'}], {metadata: {authorization}})
  t.is(end.code, status.OK)
  t.like(replies, [{pong: {index: 1, message: 'up'}}])
})

import {once} from 'node:events'
import {createServer, type ServerHttp2Session, type ServerHttp2Stream} from 'node:http2'
import type {AddressInfo} from 'node:net'
import {addAbortSignal} from 'node:stream'
import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'

/** How the backend treats a call that has `left` ms before its deadline. */
let treat: (stream: ServerHttp2Stream, left: number) => void
const backend = createServer((request) => request.resume()).listen(0, '127.0.0.1')
const sessions = new Set<ServerHttp2Session>()
backend.on('session', (session) => sessions.add(session))
backend.on('stream', (stream, headers) => {
  stream.on('error', () => {})
  treat(stream, Number.parseInt(String(headers['grpc-timeout']), 10))
})
await once(backend, 'listening')

let app: App
test.before(async () => {
  const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  app = await startApp({target: 'gateway', env: {BACKEND_URL_PING_SERVICE: url}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  for (const session of sessions) session.destroy()
  backend.close()
})

/** Resets the stream with CANCEL. */
function cancel(stream: ServerHttp2Stream): void {
  addAbortSignal(AbortSignal.abort(), stream)
}

test.serial('a backend that cancels each call a moment before its deadline is 504 to every caller', async (t) => {
  treat = (stream, left) => setTimeout(cancel, left - 10, stream)
  const ask = async () => {
    const answer = await fetch(app.url('/api/ping?message=hi'), {headers: {'grpc-timeout': '100m'}})
    const {error} = (await answer.json()) as {error: {status: string}}
    return `${answer.status} ${error.status}`
  }
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all(Array.from({length: 30}, ask))
    t.deepEqual(new Set(answers), new Set(['504 DEADLINE_EXCEEDED']))
  }
})

test.serial('a backend that cancels a call which has time left is 502: the caller did not hang up', async (t) => {
  treat = cancel
  const {status, json} = await app.ask(t, '/api/ping?message=hi')
  t.is(status, 502)
  t.is(json.error.code, 502)
  t.is(json.error.status, 'CANCELLED')
  t.is(json.error.details[0].reason, 'BACKEND_RESET')
})

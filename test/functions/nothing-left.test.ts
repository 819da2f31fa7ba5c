import '../helpers/timers.ts'
import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import type {Socket} from 'node:net'
import test from 'ava'
import {startProxy} from '../../local/faults/proxy.ts'
import {currentRequest} from '../../src/http/current-request.ts'
import {type App, startApp} from '../helpers/app.ts'
import {Random} from '../soak/random.ts'

let port = 0
const proxy = await startProxy({target: () => port})
/** Our sockets, and whether a request opened them (which its async context tells). */
const opened = new Map<Socket, boolean>()

/** Adds our sockets to the backend and to Storage, without those of this file's own fetch. */
function onSocket(message: unknown): void {
  const {socket} = message as {socket: Socket}
  const inRequest = currentRequest() !== undefined
  socket.once('connect', () => {
    if (socket.remotePort !== proxy.port && socket.remotePort !== storagePort()) return
    opened.set(socket, inRequest)
    socket.once('close', () => opened.delete(socket))
  })
}

let app: App
const storagePort = () => Number(new URL(app.storage.url).port)

test.before(async () => {
  subscribe('net.client.socket', onSocket)
  const backend = {BACKEND_URL: proxy.url, BACKEND_AUDIENCE: 'none', UPLOAD_BUCKETS: 'b', STORAGE_STALL_SECONDS: '0.1'}
  app = await startApp({env: backend})
  port = app.backend.port
  await app.storage.put('b', 'o', Buffer.alloc(300_000, 'o'))
})
test.after.always(async () => {
  unsubscribe('net.client.socket', onSocket)
  await app.close()
  await proxy.close()
})

const headers = {'content-type': 'application/json'}
const requests: readonly ((random: Random) => Promise<Response>)[] = [
  () => fetch(app.url('/ping?message=hi')),
  () => fetch(app.url('/health')),
  () => fetch(app.url('/openapi.json')),
  () => fetch(app.url('/nowhere')),
  () => fetch(app.url('/api/ping?message=hi')),
  () => {
    const body = JSON.stringify({bucket: 'b', object: 'o', context: {creatorId: 'me', name: 'it'}})
    return fetch(app.url('/upload'), {method: 'POST', headers, body})
  },
  () => {
    const body = '{"context": {"creatorId": "me", "name": "notes"}} {"data": "aGVsbG8="}'
    return fetch(app.url('/api/repos'), {method: 'POST', headers: {'content-type': 'application/x-ndjson'}, body})
  },
  async (random) => {
    const caller = new AbortController()
    const response = fetch(app.url('/ping?message=hi'), {signal: caller.signal})
    setTimeout(() => caller.abort(), random.int(0, 5))
    return await response
  },
]

const faults: readonly ((random: Random) => unknown)[] = [
  () => proxy.reset(),
  () => proxy.fin(),
  (random) => proxy.cutAfter(random.size(1, 10_000), 'reset', random.pick(['toServer', 'toClient'])),
  () => app.backend.dropConnections(),
  (random) => app.storage.fault({cutAt: random.int(0, 300_000)}),
  () => app.storage.fault({status: 503}),
  (random) => app.storage.fault({stallAt: random.int(0, 300_000)}),
]

async function ask(count: number, random: Random, breaks: boolean): Promise<void> {
  const left = Array.from({length: count}, () => random.fork())
  const caller = async () => {
    for (let next = left.pop(); next; next = left.pop()) {
      if (breaks && next.chance(0.2)) next.pick(faults)(next)
      const response = await next
        .pick(requests)(next)
        .catch(() => undefined)
      await response?.arrayBuffer().catch(() => {})
    }
  }
  await Promise.all(Array.from({length: 20}, caller))
}

/** The sockets and listeners that are left when no request is in progress. */
async function atRest(): Promise<{sockets: number; listeners: number}> {
  for (let turns = 0; turns < 200; turns++) await new Promise(setImmediate)
  const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
  return {sockets: opened.size, listeners}
}

test.serial(
  'after hundreds of requests with faults no further socket, timer, stream or listener is left',
  async (t) => {
    const random = new Random(7)
    await ask(100, random, false)
    const before = await atRest()
    await ask(300, random, true)
    // Without faults, to replace the broken connections.
    await ask(50, random, false)
    await app.quiet(t)
    const after = await atRest()
    // One to the backend, and the connections to Storage that are kept open.
    t.true(after.sockets <= 1 + 8, JSON.stringify({before, after}))
    t.is(after.listeners, before.listeners)
    t.is(app.backend.openCalls(), 0)
    t.is(app.storage.openRequests(), 0)
  },
)

test.serial("no kept connection was opened in a request's context, which would keep the request in memory", (t) => {
  // The faults above may have ended the others.
  t.true(opened.size >= 1)
  t.false([...opened.values()].includes(true))
})

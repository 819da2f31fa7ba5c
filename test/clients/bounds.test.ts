import '../helpers/timers.ts'
import {constants} from 'node:http2'
import test from 'ava'
import {sessionOf} from '../../src/clients/connections/grpc-internals.ts'
import {callOf, onlyAnswer} from '../../src/clients/service-client.ts'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {Kinds} from '../local/kinds.ts'
import {faultOf, reasonOf} from './life.ts'
import {survivalRig, until} from './survival-rig.ts'

test.serial('a call that is always refused gets six attempts', async (t) => {
  const {ask, server, quiet} = await survivalRig(t)
  server.treatment = {kind: 'refuse'}
  t.is((await faultOf(t, ask('refused'))).code, 'UNAVAILABLE')
  t.is(server.calls.begun, 6)
  quiet()
})

test.serial('calls to a backend that refuses everything get two attempts each, and few more', async (t) => {
  const {ask, server, quiet} = await survivalRig(t)
  server.treatment = {kind: 'refuse'}
  const calls = 40
  for (const fault of await Promise.all(Array.from({length: calls}, () => faultOf(t, ask('refused'))))) {
    t.is(fault.code, 'UNAVAILABLE')
  }
  t.is(server.calls.begun, 2 * calls + 10)
  quiet()
})

test.serial('ten successful calls pay for one retry', async (t) => {
  const {askAgain, server, quiet} = await survivalRig(t)
  const down = {kind: 'status', code: 14} as const
  server.treatment = down
  await Promise.all(Array.from({length: 20}, () => faultOf(t, askAgain('down'))))
  const repeatsAfter = async (successes: number) => {
    server.treatment = {kind: 'answer'}
    for (let success = 1; success <= successes; success++) await askAgain('up')
    server.treatment = down
    const {begun} = server.calls
    await faultOf(t, askAgain('down'))
    return server.calls.begun - begun - 1
  }
  t.is(await repeatsAfter(5), 0)
  t.is(await repeatsAfter(6), 1)
  quiet()
})

test.serial('a caller who hangs up just as it gets a connection frees its stream for others', async (t) => {
  const {ask, pool, runtime, backend, newLife, quiet} = await survivalRig(t, {maxStreams: 1})
  await ask('before')
  const connection = pool.take(false)!
  const life = newLife()
  const {send: method} = PingService.method
  const waiting = pool.wait(callOf(runtime, {life, backend, method, requests: () => []}), false)
  pool.release(connection, false)
  const reason = life.hangUp()
  t.is(await faultOf(t, waiting), reason)
  t.is(connection.streams, 0)
  quiet()
})

test.serial('a free stream goes to a unary call, even if a streaming call has waited for longer', async (t) => {
  const {ask, pool, proxy, runtime, backend, newLife, quiet} = await survivalRig(t, {maxStreams: 1})
  await ask('before')
  proxy.refuse()
  const connection = pool.take(false)!
  const {send: method} = PingService.method
  const order: string[] = []
  const wait = async (name: string, streaming: boolean) => {
    const call = callOf(runtime, {life: newLife(), backend, method, requests: () => []})
    const got = await pool.wait(call, streaming)
    order.push(name)
    pool.release(got, streaming)
  }
  const both = Promise.all([wait('stream', true), wait('unary', false)])
  pool.release(connection, false)
  await both
  t.deepEqual(order, ['unary', 'stream'])
  quiet()
})

test.serial('idle streams leave connections for unary calls, if each takes a connection', async (t) => {
  const {ask, server, kinds, newLife, pool, quiet} = await survivalRig(t, {maxStreams: 1})
  const lives = Array.from({length: 60}, newLife)
  const ended = lives.map(async (life) => {
    const silent = () => ({[Symbol.asyncIterator]: () => ({next: () => new Promise<never>(() => {})})})
    for await (const _ of kinds.both(life, silent)) t.fail()
  })
  for (const work of ended) work.catch(() => {})
  await until(() => server.calls.open === 45)
  t.deepEqual([pool.connections.length, server.connections.accepted], [45, 45], 'none that streams may not use')
  const answers = await Promise.all(Array.from({length: 5}, (_, call) => ask(`call ${call}`)))
  t.is(answers.length, 5)
  t.is(pool.waiting, 15)
  for (const life of lives) life.hangUp()
  await Promise.allSettled(ended)
  quiet()
})

test.serial('while one call tries a backend that is known to be down, all others fail at once', async (t) => {
  const {ask, proxy, pool, newLife, quiet} = await survivalRig(t)
  proxy.refuse()
  await faultOf(t, ask('not there'))
  proxy.forward()
  proxy.drop()
  const life = newLife()
  const probing = faultOf(t, ask('probes', life))
  await until(() => pool.waiting === 1)
  const others = await Promise.all(Array.from({length: 20}, () => faultOf(t, ask('down'))))
  for (const fault of others) t.like(fault, {code: 'UNAVAILABLE', retryAfter: 1})
  t.is(reasonOf(others[0]!), 'BACKEND_UNAVAILABLE')
  t.is(pool.waiting, 1)
  const reason = life.hangUp()
  t.is(await probing, reason)
  quiet()
})

test.serial('a silent peer gets at most two PINGs during calls', async (t) => {
  const {ask, pool, server, quiet} = await survivalRig(t)
  await ask('before')
  const [connection] = pool.connections
  for (let question = 1; question <= 5; question++) {
    connection!.heard -= 1000
    connection!.examine(Date.now())
    await until(() => connection!.isTrusted(Date.now()))
  }
  t.is(server.pings, 2)
  connection!.heard -= 1000
  await ask('after')
  connection!.heard -= 1000
  connection!.examine(Date.now())
  await until(() => connection!.isTrusted(Date.now()))
  t.is(server.pings, 3)
  t.is(pool.connections.length, 1)
  quiet()
})

test.serial('a call whose connection ended before the call was sent is retried on another one', async (t) => {
  const {ask, pool, server, quiet} = await survivalRig(t)
  await ask('before')
  sessionOf(pool.connections[0]!.channel)!.destroy()
  t.is(await ask('after'), 'after')
  t.deepEqual([server.executions.length, server.connections.accepted], [2, 2])
  quiet()
})

test.serial('a call that a closing session does not accept is retried on another connection', async (t) => {
  const {ask, pool, server, quiet} = await survivalRig(t)
  const held = Promise.withResolvers<void>()
  server.next({kind: 'answer', until: held.promise})
  const first = ask('held')
  await until(() => server.executions.length === 1)
  sessionOf(pool.connections[0]!.channel)!.close()
  const after = ask('after')
  await until(() => server.executions.length === 2)
  held.resolve()
  t.deepEqual(await Promise.all([first, after]), ['held', 'after'])
  quiet()
})

test.serial('a call that was answered is not retried, however its stream is reset', async (t) => {
  const {ask, server, quiet} = await survivalRig(t)
  server.next({kind: 'reset', code: constants.NGHTTP2_REFUSED_STREAM, messages: 1})
  t.is((await faultOf(t, ask('once'))).code, 'UNAVAILABLE')
  t.is(server.executions.length, 1)
  quiet()
})

test.serial('a source that fails after its call has ended causes no unhandled rejection', async (t) => {
  const {kinds, newLife, server, quiet} = await survivalRig(t)
  const life = newLife()
  const source = Promise.withResolvers<void>()
  async function* messages() {
    yield {value: 1}
    life.hangUp()
    await source.promise
  }
  server.next({kind: 'stall'})
  t.is((await faultOf(t, kinds.up(life, messages))).code, 'CANCELLED')
  source.reject(new Error('the source fails'))
  // An unhandled rejection would be reported by the end of this turn, and fail the test file.
  await new Promise((resolve) => setImmediate(resolve))
  quiet()
})

test.serial('a call in flight on a dead connection is given up, even if no other call is made', async (t) => {
  const {ask, proxy, server, pool, quiet} = await survivalRig(t)
  await ask('before')
  server.next({kind: 'stall'})
  const hung = faultOf(t, ask('hung', undefined, {timeout: 60_000}))
  await until(() => server.executions.length === 2)
  proxy.drop()
  t.like(await hung, {code: 'UNAVAILABLE', retryAfter: 1})
  t.is(pool.connections.length, 0)
  quiet()
})

/** Messages of `size` bytes from two buffers in turns, as an upload sends them: message n is full of bytes n. */
async function* fromReusedMemory(messages: number, size: number): AsyncGenerator<Uint8Array> {
  const buffers = [Buffer.alloc(size), Buffer.alloc(size)]
  for (let message = 0; message < messages; message++) yield buffers[message % 2]!.fill(message)
}

for (const [place, after, isMadeAgain] of [
  ['its head', undefined, true],
  ['the middle of its first message', 1000, true],
  ['its fourth message', 1000 * 1024, false],
] as const) {
  test.serial(`an upload that is refused at ${place} never resends bytes of a reused buffer`, async (t) => {
    const [messages, size] = [6, 300 * 1024]
    const got: (readonly Uint8Array[])[] = []
    const up = (all: readonly Uint8Array[]) => {
      got.push(all)
      return [new Uint8Array()]
    }
    const {runtime, backend, server, newLife, quiet} = await survivalRig(t, {methods: {'/test.Kinds/Up': up}})
    const upload = () => {
      const requests = () => fromReusedMemory(messages, size)
      return onlyAnswer(callOf(runtime, {life: newLife(), backend, method: Kinds.method.up!, requests}))
    }
    server.next({kind: 'refuse', ...(after !== undefined && {after})})
    if (isMadeAgain) await upload()
    else t.is((await faultOf(t, upload())).code, 'UNAVAILABLE')
    t.is(got.length, isMadeAgain ? 1 : 0)
    for (const [number, message] of got.flat().entries()) {
      t.deepEqual([message.length, message.every((byte) => byte === number)], [size, true])
    }
    t.is(got.flat().length, isMadeAgain ? messages : 0)
    quiet()
  })
}

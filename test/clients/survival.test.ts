import '../helpers/timers.ts'
import {constants} from 'node:http2'
import test from 'ava'
import {healthOf} from '../../src/clients/health.ts'
import {Fault} from '../../src/core/fault.ts'
import {faultOf, reasonOf} from './life.ts'
import {survivalRig, until} from './survival-rig.ts'

const minute = 60_000

for (const [title, silence] of [
  ['of a minute', minute],
  ['of an hour', 60 * minute],
] as const) {
  test.serial(`after a silence ${title} a dead connection is detected before a call is sent on it`, async (t) => {
    const {ask, proxy, server, pool, age, quiet} = await survivalRig(t)
    await ask('before')
    const [dead] = pool.connections
    proxy.drop()
    age(silence)
    t.is(await ask('after'), 'after')
    t.deepEqual([server.executions.length, server.doubles], [2, []])
    t.is(proxy.accepted, 2)
    t.false(pool.connections.includes(dead!))
    t.is(pool.connections.length, 1)
    quiet()
  })
}

test.serial('concurrent calls share one PING and one new connection, and each is executed once', async (t) => {
  const {ask, proxy, server, age, quiet} = await survivalRig(t)
  await ask('before')
  proxy.drop()
  age(minute)
  const answers = await Promise.all(Array.from({length: 50}, (_, call) => ask(`call ${call}`)))
  t.is(new Set(answers).size, 50)
  t.deepEqual([server.executions.length, server.doubles, proxy.accepted], [51, [], 2])
  quiet()
})

for (const end of ['fin', 'reset'] as const) {
  test.serial(`a connection that got a ${end} unnoticed is not used again`, async (t) => {
    const {ask, proxy, server, age, quiet} = await survivalRig(t)
    for (let round = 1; round <= 10; round++) {
      await ask('before')
      const [connection] = proxy.connections
      proxy[end]()
      // Lets the end arrive: an instance that thaws finds it already received.
      await new Promise((resolve) => setImmediate(resolve))
      age(200)
      t.is(await ask('after'), 'after')
      await connection!.closed
      t.deepEqual([server.executions.length, proxy.accepted], [2 * round, round + 1])
    }
    quiet()
  })
}

test.serial('a healthy connection is asked, and stays in use', async (t) => {
  const {ask, server, pool, runtime, age, quiet, proxy} = await survivalRig(t)
  await ask('first')
  const [connection] = pool.connections
  for (let round = 0; round < 100; round++) {
    age(Math.floor(Math.random() * 3 * minute))
    t.is(await ask('again'), 'again')
  }
  t.is(pool.connections[0], connection)
  t.is(server.executions.length, 101)
  t.is(runtime.channels.to(runtime.config.backendOf('any')), pool)
  t.is(proxy.connections.length, 1)
  quiet()
})

test.serial(
  'a caller who hangs up while the connection is pinged leaves nothing behind, and is not executed',
  async (t) => {
    const {ask, proxy, server, age, quiet, newLife, pool} = await survivalRig(t)
    await ask('before')
    proxy.drop({later: true})
    age(minute)
    const life = newLife()
    const failed = faultOf(t, ask('given up', life))
    await until(() => pool.waiting === 1)
    const reason = life.hangUp()
    t.is(await failed, reason)
    quiet()
    await life.quiet(t)
    proxy.forward()
    proxy.reset()
    t.is(await ask('after'), 'after')
    t.is(server.executions.length, 2)
  },
)

test.serial('calls in flight on a dead connection fail as soon as it is detected', async (t) => {
  const {ask, proxy, server, pool, quiet} = await survivalRig(t)
  await ask('before')
  server.next({kind: 'stall'})
  const hung = faultOf(t, ask('hung'))
  await until(() => server.executions.length === 2)
  proxy.drop()
  pool.connections[0]!.heard -= minute
  t.is(await ask('after'), 'after')
  const fault = await hung
  t.like(fault, {code: 'UNAVAILABLE', retryAfter: 1})
  t.deepEqual(server.doubles, [])
  quiet()
})

test.serial("calls beyond a connection's limit of streams go to further ones, which are closed later", async (t) => {
  const {ask, server, quiet, pool} = await survivalRig(t, {maxStreams: 10})
  await ask('before')
  const held = Promise.withResolvers<void>()
  server.treatment = {kind: 'answer', until: held.promise}
  const answers = Array.from({length: 35}, (_, call) => ask(`call ${call}`))
  await until(() => server.calls.open === 35)
  t.is(server.connections.open, 4)
  t.is(pool.waiting, 0)
  held.resolve()
  t.is(new Set(await Promise.all(answers)).size, 35)
  t.is(pool.connections.length, 1)
  await until(() => server.connections.open === 1)
  t.deepEqual(server.doubles, [])
  quiet()
})

test.serial('a cold burst opens no more connections than its calls need', async (t) => {
  const {ask, server, quiet} = await survivalRig(t, {maxStreams: 10})
  const held = Promise.withResolvers<void>()
  server.treatment = {kind: 'answer', until: held.promise}
  const answers = Array.from({length: 100}, (_, call) => ask(`call ${call}`))
  await until(() => server.calls.open === 100)
  t.is(server.connections.accepted, 10)
  held.resolve()
  await Promise.all(answers)
  quiet()
})

test.serial('a lower limit of streams is applied while the connection is open', async (t) => {
  const {ask, server, pool, quiet} = await survivalRig(t, {maxStreams: 100})
  await ask('before')
  server.maxStreams = 3
  await until(() => pool.connections[0]!.cap === 3)
  const held = Promise.withResolvers<void>()
  server.treatment = {kind: 'answer', until: held.promise}
  const answers = Array.from({length: 9}, (_, call) => ask(`call ${call}`))
  await until(() => server.calls.open === 9)
  t.is(server.connections.open, 3)
  held.resolve()
  await Promise.all(answers)
  t.is(server.executions.length, 10)
  quiet()
})

test.serial('calls that were given up while they waited are not executed', async (t) => {
  const {ask, server, pool, newLife, quiet} = await survivalRig(t, {maxStreams: 1})
  const held = Promise.withResolvers<void>()
  server.treatment = {kind: 'answer', until: held.promise}
  const lives = Array.from({length: 60}, newLife)
  const answers = lives.map((life, call) => ask(`call ${call}`, life).catch((error) => error as Fault))
  await until(() => server.calls.open === 50 && pool.waiting === 10)
  const late = await faultOf(t, ask('no time', newLife(), {timeout: 20}))
  t.is(late.code, 'DEADLINE_EXCEEDED')
  t.regex(late.hint ?? '', /^Still no free stream to .* after .* s: its 50 connections are full$/)
  const given = lives.slice(50, 55)
  for (const life of given) life.hangUp()
  held.resolve()
  const failed = (await Promise.all(answers)).filter((answer) => answer instanceof Fault)
  t.is(failed.length, 5)
  const ids = new Set(server.executions.map(({requestId}) => requestId))
  t.is(ids.size, 55)
  t.false(given.some(({id}) => ids.has(id)))
  quiet()
})

test.serial('a thousand idle streams leave room for unary calls and for health checks', async (t) => {
  const {ask, server, kinds, newLife, pool, quiet, runtime, backend} = await survivalRig(t, {maxStreams: 100})
  const lives = Array.from({length: 1000}, newLife)
  const ended = lives.map(async (life) => {
    const silent = () => ({[Symbol.asyncIterator]: () => ({next: () => new Promise<never>(() => {})})})
    for await (const _ of kinds.both(life, silent)) t.fail()
  })
  for (const work of ended) work.catch(() => {})
  await until(() => server.calls.open === 1000)
  const {accepted} = server.connections
  t.is(accepted, 12)
  const answers = await Promise.all(Array.from({length: 10}, (_, call) => ask(`call ${call}`)))
  t.is(answers.length, 10)
  t.regex((await healthOf(runtime, newLife(), backend, 20_000)).note ?? '', /^it answers/)
  t.is(server.connections.accepted, accepted)
  for (const life of lives) life.hangUp()
  await Promise.allSettled(ended)
  t.is(await ask('after'), 'after')
  t.is(pool.connections.length, 1)
  quiet()
})

test.serial('a refused call is retried, and executed once', async (t) => {
  const {ask, server, quiet} = await survivalRig(t)
  server.next({kind: 'refuse'}, {kind: 'refuse'}, {kind: 'refuse'})
  t.is(await ask('refused thrice'), 'refused thrice')
  t.deepEqual(
    server.executions.map(({previousAttempts}) => previousAttempts),
    [3],
  )
  quiet()
})

for (const code of [0, 2]) {
  test.serial(`a call above the last stream of a GOAWAY with code ${code} is retried`, async (t) => {
    const {ask, server, quiet} = await survivalRig(t)
    await ask('before')
    server.next({kind: 'stall'})
    const answer = ask('above')
    await until(() => server.executions.length === 2)
    // The server lies: it has run the handler, and says that it has not.
    server.goaway({lastStream: 1, code})
    t.is(await answer, 'above')
    t.is(server.connections.accepted, 2)
    quiet()
  })
}

test.serial('calls that several connections in a row did not accept are retried, whatever the budget', async (t) => {
  const {ask, server, quiet} = await survivalRig(t, {closeAfter: 10})
  const calls = Array.from({length: 40}, (_, call) => `call ${call}`)
  t.deepEqual(await Promise.all(calls.map((call) => ask(call))), calls)
  t.deepEqual([server.executions.length, server.doubles], [40, []])
  quiet()
})

test.serial('after a GOAWAY calls in flight end normally, and later ones go elsewhere', async (t) => {
  const {ask, server, quiet} = await survivalRig(t)
  await ask('before')
  const held = Promise.withResolvers<void>()
  server.next({kind: 'answer', until: held.promise})
  const answer = ask('in flight')
  await until(() => server.calls.open === 1)
  server.goaway()
  t.is(await ask('later'), 'later')
  held.resolve()
  t.is(await answer, 'in flight')
  t.deepEqual([server.executions.length, server.doubles], [3, []])
  await until(() => server.connections.open === 1)
  quiet()
})

test.serial('UNAVAILABLE is retried only for a method that may be', async (t) => {
  const {ask, askAgain, server, quiet} = await survivalRig(t)
  server.next({kind: 'status', code: 14, message: 'not now'})
  t.like(await faultOf(t, ask('once')), {code: 'UNAVAILABLE', message: 'not now'})
  t.is(server.executions.length, 1)
  server.next({kind: 'status', code: 14}, {kind: 'http', status: 503}, {kind: 'http', status: 429})
  t.is(await askAgain('again'), 'again')
  t.deepEqual(
    server.executions.map(({previousAttempts}) => previousAttempts),
    [0, 0, 3],
  )
  server.next({kind: 'status', code: 13, message: 'broken'})
  t.is((await faultOf(t, askAgain('broken'))).code, 'INTERNAL')
  server.next({kind: 'reset', messages: 1})
  await faultOf(t, askAgain('half'))
  t.is(server.executions.length, 5)
  // The answer has arrived, but the call breaks off before its status.
  const brokenOff = {kind: 'reset', code: constants.NGHTTP2_CANCEL, messages: 1} as const
  server.next(brokenOff)
  t.is(await askAgain('without status'), 'without status')
  server.next(brokenOff)
  await faultOf(t, ask('without status'))
  t.is(server.executions.length, 8)
  quiet()
})

test.serial('a server that pushes back is obeyed', async (t) => {
  const {ask, askAgain, server, quiet} = await survivalRig(t)
  const unavailable = (pushback: string) =>
    ({kind: 'status', code: 14, metadata: {'grpc-retry-pushback-ms': pushback}}) as const
  server.next(unavailable('-1'))
  await faultOf(t, askAgain('no'))
  server.next(unavailable('soon'))
  await faultOf(t, askAgain('no'))
  server.next(unavailable('1'))
  await faultOf(t, ask('once'))
  t.is(server.executions.length, 3)
  server.next(unavailable('1'))
  t.is(await askAgain('yes'), 'yes')
  // The back-off is longer than the time that is left.
  server.next(unavailable('100000'))
  await faultOf(t, askAgain('too long'))
  t.is(server.executions.length, 6)
  quiet()
})

test.serial('an outage is amplified by at most a tenth', async (t) => {
  const {askAgain, server, quiet} = await survivalRig(t)
  await askAgain('before')
  server.treatment = {kind: 'status', code: 14}
  const before = server.executions.length
  await Promise.all(Array.from({length: 200}, () => faultOf(t, askAgain('down'))))
  t.true(server.executions.length - before <= 220, `${server.executions.length - before} executions`)
  quiet()
})

test.serial('a streaming call is retried with its first message until its second message, and not after', async (t) => {
  const sum = () => [new Uint8Array()]
  const {kinds, server, newLife, quiet} = await survivalRig(t, {methods: {'/test.Kinds/Up': sum}})
  const second = Promise.withResolvers<void>()
  async function* messages() {
    yield {value: 1}
    await second.promise
    yield {value: 2}
  }
  server.next({kind: 'refuse'})
  const answer = kinds.up(newLife(), messages)
  await until(() => server.calls.open === 1 && server.connections.accepted === 1)
  second.resolve()
  await answer
  t.deepEqual(
    server.executions.map(({previousAttempts}) => previousAttempts),
    [1],
  )
  async function* three() {
    yield {value: 1}
    yield {value: 2}
    await until(() => server.calls.open === 1)
    server.goaway({lastStream: 3})
    yield {value: 3}
  }
  t.is((await faultOf(t, kinds.up(newLife(), three))).code, 'UNAVAILABLE')
  t.is(server.executions.length, 1)
  quiet()
})

test.serial('a backend that is gone for a moment is awaited', async (t) => {
  const {ask, server, proxy, pool, quiet} = await survivalRig(t)
  await ask('before')
  proxy.refuse()
  proxy.reset()
  await until(() => pool.connections.length === 0)
  const answers = Array.from({length: 20}, (_, call) => ask(`call ${call}`))
  await until(() => proxy.refused >= 2)
  proxy.forward()
  t.is(new Set(await Promise.all(answers)).size, 20)
  t.deepEqual([server.executions.length, server.doubles], [21, []])
  quiet()
})

test.serial('a backend that is down gets one call at a time, and is found as soon as it is back', async (t) => {
  const {ask, server, proxy, pool, quiet} = await survivalRig(t)
  await ask('before')
  proxy.refuse()
  proxy.reset()
  await until(() => pool.connections.length === 0)
  await faultOf(t, ask('waits for its return'))
  const {refused} = proxy
  for (let round = 1; round <= 5; round++) {
    const faults = await Promise.all(Array.from({length: 20}, () => faultOf(t, ask('down'))))
    for (const fault of faults) {
      t.like(fault, {code: 'UNAVAILABLE', retryAfter: 1})
      t.is(reasonOf(fault), 'BACKEND_UNAVAILABLE')
    }
    t.true(proxy.refused - refused <= round + 3)
  }
  quiet()
  proxy.forward()
  t.is(await ask('back'), 'back')
  t.is(server.executions.length, 2)
  quiet()
})

for (const hard of [false, true]) {
  test.serial(`a ${hard ? 'hard' : 'graceful'} restart under load fails no call that may be retried`, async (t) => {
    const {ask, askAgain, server, quiet} = await survivalRig(t)
    server.treatment = {kind: 'answer', ms: 5}
    let stopped = false
    let failed = 0
    let answered = 0
    const caller = async (call: typeof ask, mayFail: boolean) => {
      while (!stopped) {
        try {
          await call('load')
          answered++
        } catch (error) {
          const fault = Fault.from(error)
          t.true(mayFail, `${fault.message}: ${fault.cause}`)
          t.like(fault, {code: 'UNAVAILABLE', retryAfter: 1}, String(fault.cause))
          failed++
        }
      }
    }
    const callers = [
      ...Array.from({length: 5}, () => caller(ask, hard)),
      ...Array.from({length: 5}, () => caller(askAgain, false)),
    ]
    for (let restart = 0; restart < 10; restart++) {
      // This many successes earn the retry budget for one retry of each call in flight.
      const goal = answered + 60
      await until(() => answered >= goal)
      await server.restart({hard})
    }
    stopped = true
    await Promise.all(callers)
    t.true(failed <= 10 * 5)
    if (!hard) t.deepEqual(server.doubles, [])
    quiet()
  })
}

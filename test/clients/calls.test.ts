import {AsyncLocalStorage} from 'node:async_hooks'
import type {DescMethod} from '@bufbuild/protobuf'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import type {CallContext} from '../../local/grpc/implement.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import type {Call, Requests} from '../../src/clients/call.ts'
import {invoke} from '../../src/clients/calls/interceptors.ts'
import {callMetrics} from '../../src/clients/calls/metrics.ts'
import {openCalls, send} from '../../src/clients/calls.ts'
import {callOf, createClient, onlyAnswer} from '../../src/clients/service-client.ts'
import {Fault} from '../../src/core/fault.ts'
import {Health} from '../../src/gen/health/v1/health_pb.js'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {runningTimers} from '../helpers/timers.ts'
import {Kinds, type Numbered} from '../local/kinds.ts'
import {type KindsClient, KindsService, numbered, type Seen, silence} from './kinds.ts'
import {faultOf, reasonOf, TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

const kinds = new KindsService()
const backend = await startBackend({services: [kinds], window: 65535})
const runtime = runtimeOf({BACKEND_URL: backend.url})
const client = createClient(runtime, Kinds) as unknown as KindsClient

let life: TestLife
test.beforeEach(() => {
  life = new TestLife()
})
test.afterEach.always(async (t) => {
  await backend.idle()
  await life.quiet(t)
  t.deepEqual({calls: openCalls(), timers: runningTimers()}, {calls: 0, timers: []})
  kinds.handle({})
})
test.after.always(async () => {
  runtime.channels.close()
  await backend.close()
})

function kindsCall(method: DescMethod, requests: Requests): Call {
  return callOf(runtime, {life, backend: runtime.config.backendOf('test.Kinds'), method, requests})
}

async function valuesOf(answers: AsyncIterable<Numbered>): Promise<number[]> {
  return (await Array.fromAsync(answers)).map(({value}) => value)
}

/** A source of `count` messages that then never ends. Its promises resolve when it is told to end, and when it is returned. */
function endless(count = 0, filler = new Uint8Array()) {
  const told = Promise.withResolvers<void>()
  const returned = Promise.withResolvers<void>()
  const waiting = Promise.withResolvers<void>()
  const source = {
    taken: 0,
    told: told.promise,
    returned: returned.promise,
    /** Resolves when a message is requested that it never gives. */
    waiting: waiting.promise,
    messages: (signal: AbortSignal) => {
      signal.addEventListener('abort', () => told.resolve())
      return {
        [Symbol.asyncIterator]: () => ({
          next: () => {
            if (source.taken < count) return Promise.resolve({done: false, value: {value: ++source.taken, filler}})
            waiting.resolve()
            return new Promise<never>(() => {})
          },
          return: async () => {
            returned.resolve()
            return {done: true, value: undefined}
          },
        }),
      } as AsyncIterable<{value: number}>
    },
  }
  return source
}

/** Waits for `count` round trips on the same connection, so that anything in flight has arrived. */
async function roundTrips(count: number): Promise<void> {
  for (let trip = 0; trip < count; trip++) await client.one(new TestLife(), {})
}

test.serial('a call of each kind sends and receives messages', async (t) => {
  t.is((await client.one(life, {value: 1})).value, 2)
  t.is((await client.up(life, () => [{value: 1}, {value: 2}, {value: 3}])).value, 6)
  t.deepEqual(await valuesOf(client.down(life, {value: 3})), [3, 2, 1])
  t.deepEqual(await valuesOf(client.both(life, () => [{value: 1}, {value: 2}])), [-1, -2])
})

test.serial('a server stream lasts as long as it is read', async (t) => {
  const health = createClient(runtime, Health)
  const states: number[] = []
  for await (const {status} of health.watch(life, {})) {
    states.push(status)
    if (states.length === 3) break
    backend.health.set('', states.length === 1 ? 'NOT_SERVING' : 'SERVING')
  }
  t.deepEqual(states, [1, 2, 1])
})

test.serial('streams of no messages and of a thousand work like streams of one', async (t) => {
  t.is((await client.up(life, () => [])).value, 0)
  t.deepEqual(await valuesOf(client.down(life, {value: 0})), [])
  t.deepEqual(await valuesOf(client.both(life, () => [])), [])
  const thousand = Array.from({length: 1000}, (_, value) => ({value}))
  t.is((await client.up(life, () => thousand)).value, 499_500)
  const answers = await valuesOf(client.both(life, () => thousand))
  t.deepEqual(
    answers.map(Math.abs),
    thousand.map(({value}) => value),
  )
  t.is((await valuesOf(client.down(life, {value: 1000}))).length, 1000)
})

test.serial('a bidirectional stream is a conversation: each answer arrives before the next message', async (t) => {
  const answers: number[] = []
  let heard = Promise.withResolvers<void>()
  async function* messages() {
    for (const value of [1, 2, 3]) {
      yield {value}
      await heard.promise
      heard = Promise.withResolvers()
      t.is(answers.length, value)
    }
  }
  for await (const {value} of client.both(life, messages)) {
    answers.push(value)
    heard.resolve()
  }
  t.deepEqual(answers, [-1, -2, -3])
})

test.serial(
  "messages of any size arrive unchanged, answers also beyond grpc-js's default limit of 4 MiB",
  async (t) => {
    kinds.handle({one: ({filler, value}) => ({filler: value > 0 ? Buffer.alloc(value, 'a') : filler})})
    const large = (4 << 20) + 1
    t.true(Buffer.alloc(large, 'a').equals((await client.one(life, {value: large})).filler))
    for (const size of [0, 1, 16_384, 65_535, 65_536, 1 << 20, (4 << 20) - 16]) {
      const filler = Buffer.alloc(size, `${size} `)
      t.true(filler.equals((await client.one(life, {filler})).filler))
    }
  },
)

test.serial('250 concurrent calls are all answered by a peer that allows 100 per connection', async (t) => {
  const values = await Promise.all(
    Array.from({length: 250}, async (_, value) => (await client.one(life, {value})).value),
  )
  t.deepEqual(
    values,
    Array.from({length: 250}, (_, value) => value + 1),
  )
  t.true(backend.connections() <= 3)
})

test.serial("the request's id and trace reach the backend, and so does the call's own metadata", async (t) => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const traced = new TestLife({id: 'mine-1', trace: {traceparent, tracestate: 'a=\u00fc'}})
  const seen = kinds.next()
  await client.one(traced, {}, {metadata: {'x-object-size': '5', 'x-sum-bin': Buffer.from([0, 255])}})
  const {metadata} = (await seen).context
  t.deepEqual(metadata.get('x-request-id'), ['mine-1'])
  t.deepEqual(metadata.get('traceparent'), [traceparent])
  // Values that metadata cannot carry are left out.
  t.deepEqual(metadata.get('tracestate'), [])
  t.deepEqual(metadata.get('x-object-size'), ['5'])
  t.deepEqual(metadata.get('x-sum-bin'), [Buffer.from([0, 255])])
  t.deepEqual(metadata.get('authorization'), [])
  t.is(backend.log.at(-1)?.requestId, 'mine-1')
})

test.serial("the backend's header is available before the first answer, its trailer after the last", async (t) => {
  kinds.handle({
    async *down(_request, context) {
      const header = context.metadata.clone()
      header.set('x-server', 'one')
      context.sendHeader(header)
      yield {value: 1}
      context.trailer.set('x-cost', '5')
    },
  })
  const call = kindsCall(Kinds.method.down!, () => [numbered()])
  for await (const _ of invoke(call)) {
    t.deepEqual(call.header?.get('x-server'), ['one'])
    t.is(call.trailer, undefined)
  }
  t.deepEqual(call.trailer?.get('x-cost'), ['5'])
})

for (const {title, timeout, lives, lasts} of [
  {title: '30 s unless told', timeout: undefined, lives: 60_000, lasts: 30_000},
  {title: "the call's when that is smaller", timeout: 10_000, lives: 60_000, lasts: 10_000},
  {title: "the life's when that is smaller", timeout: 50_000, lives: 20_000, lasts: 20_000},
  {title: "the life's where a call has none", timeout: Number.POSITIVE_INFINITY, lives: 40_000, lasts: 40_000},
]) {
  test.serial(`the backend gets a deadline: ${title}`, async (t) => {
    const seen = kinds.next()
    const before = Date.now()
    await client.one(new TestLife({timeout: lives}), {}, timeout === undefined ? {} : {timeout})
    const deadline = Number((await seen).context.deadline)
    // The call announces the remaining time, in whole ms.
    t.true(deadline >= before + lasts - 1 && deadline <= Date.now() + lasts + 1, `${deadline - before} ms`)
  })
}

test.serial('a backend that does not answer is DEADLINE_EXCEEDED on both ends, without its address', async (t) => {
  for (const header of [false, true]) {
    const seen = kinds.next()
    kinds.handle({
      one: (_request, context) => {
        if (header) context.sendHeader()
        return silence(context)
      },
    })
    let handled: Seen | undefined
    // On a busy machine a short deadline may pass before the call reaches the backend.
    for (let timeout = 50; !handled; timeout *= 2) {
      const failed = faultOf(t, client.one(life, {}, {timeout}))
      handled = await Promise.race([seen, failed.then(() => undefined)])
      const fault = await failed
      t.is(fault.code, 'DEADLINE_EXCEEDED')
      t.is(httpStatusOf(fault), 504)
      t.is(fault.message, 'test.Kinds.One did not answer in time')
      if (handled) t.regex(String(fault.cause), /Deadline exceeded/)
    }
    await handled.cancelled
  }
})

test.serial('a call that its function does not await is part of the request', async (t) => {
  const seen = kinds.next()
  kinds.handle({one: (_request, context) => silence(context)})
  const failed = faultOf(t, client.one(life, {value: 1}))
  const {cancelled} = await seen
  const reason = life.hangUp()
  await life.quiet(t)
  t.is(openCalls(), 0)
  await cancelled
  t.is(await failed, reason)
})

test.serial('a deadline in the past ends the call at once, on both ends', async (t) => {
  kinds.handle({one: (_request, context) => silence(context)})
  t.is((await faultOf(t, client.one(life, {}, {timeout: -1}))).code, 'DEADLINE_EXCEEDED')
  await client.up(life, () => [])
})

/** Starts a call of each kind that gets no answer, and whose source gives no further messages. */
const begun: Record<string, (life: TestLife) => Promise<unknown>> = {
  One: (life) => client.one(life, {}),
  Up: (life) => client.up(life, endless(1).messages),
  Down: (life) => valuesOf(client.down(life, {})),
  Both: (life) => valuesOf(client.both(life, endless(1).messages)),
}
const deaf = {
  one: (_request: unknown, context: CallContext) => silence(context),
  up: (_requests: unknown, context: CallContext) => silence(context),
  async *down(_request: unknown, context: CallContext) {
    yield {value: 1}
    await silence(context)
  },
  async *both(requests: AsyncIterable<Numbered>, context: CallContext) {
    for await (const message of requests) yield message
    await silence(context)
  },
}

for (const [kind, begin] of Object.entries(begun)) {
  test.serial(`${kind}: a caller who hangs up cancels the call, and gets the reason`, async (t) => {
    kinds.handle(deaf)
    const seen = kinds.next()
    const caller = new TestLife()
    const answer = begin(caller)
    const {cancelled, context} = await seen
    t.is(openCalls(), 1)
    const reason = caller.hangUp()
    t.is(await faultOf(t, answer), reason)
    t.is(openCalls(), 0)
    await cancelled
    t.true(context.signal.aborted)
    await backend.idle()
    t.is(backend.log.at(-1)?.code, 'CANCELLED')
    await caller.quiet(t)
  })

  test.serial(`${kind}: a call whose caller has already hung up never reaches the backend`, async (t) => {
    const calls = backend.log.length
    const caller = new TestLife()
    const reason = caller.hangUp()
    t.is(await faultOf(t, begin(caller)), reason)
    await roundTrips(1)
    t.is(backend.log.length, calls + 1)
    await caller.quiet(t)
  })

  test.serial(`${kind}: a caller who hangs up while the channel connects is released`, async (t) => {
    kinds.handle(deaf)
    runtime.channels.close()
    const caller = new TestLife()
    const answer = begin(caller)
    const reason = caller.hangUp()
    t.is(await faultOf(t, answer), reason)
    t.is(openCalls(), 0)
    await caller.quiet(t)
  })
}

test.serial('breaking out of the loop over the answers cancels the call', async (t) => {
  kinds.handle(deaf)
  const seen = kinds.next()
  for await (const {value} of client.down(life, {})) {
    t.is(value, 1)
    break
  }
  t.is(openCalls(), 0)
  await (await seen).cancelled
  const source = endless(1)
  for await (const _ of client.both(life, source.messages)) break
  await Promise.all([source.told, source.returned])
  t.is(openCalls(), 0)
})

test.serial('throwing in the loop over the answers cancels the call, and the error propagates', async (t) => {
  kinds.handle(deaf)
  const seen = kinds.next()
  const thrown = new Error('mine')
  const error = await t.throwsAsync(async () => {
    for await (const _ of client.down(life, {})) throw thrown
  })
  t.is(error, thrown)
  await (await seen).cancelled
})

test.serial('without a read of the answers, no call is made', async (t) => {
  const calls = backend.log.length
  client.down(life, {value: 1})
  await roundTrips(1)
  t.is(backend.log.length, calls + 1)
})

for (const [title, ends] of Object.entries({
  'with OK': () => ({value: 7}),
  'with an error': () => {
    throw new StatusError(9, 'Enough')
  },
})) {
  const early = {
    async up(requests: AsyncIterable<Numbered>) {
      for await (const _ of requests) break
      return ends()
    },
  }
  const outcome = async (answer: Promise<Numbered>) =>
    answer.then(
      ({value}) => value,
      ({message}) => message,
    )

  test.serial(
    `a backend that ends early ${title} ends a call whose source gives no message, and the source`,
    async (t) => {
      kinds.handle(early)
      const source = endless(1)
      t.is(await outcome(client.up(life, source.messages)), title === 'with OK' ? 7 : 'Enough')
      await Promise.all([source.told, source.returned])
      t.is(openCalls(), 0)
    },
  )

  test.serial(`a backend that ends early ${title} ends a call that waits for the flow-control window`, async (t) => {
    kinds.handle(early)
    const source = endless(Number.POSITIVE_INFINITY, new Uint8Array(256 * 1024))
    t.is(await outcome(client.up(life, source.messages)), title === 'with OK' ? 7 : 'Enough')
    await Promise.all([source.told, source.returned])
    t.true(source.taken < 100, `${source.taken}`)
  })

  test.serial(`a backend that ends early ${title} ends a call whose messages are an array`, async (t) => {
    kinds.handle(early)
    let taken = 0
    let returned = false
    function* list() {
      try {
        for (;;) yield {value: ++taken, filler: new Uint8Array(256 * 1024)}
      } finally {
        returned = true
      }
    }
    t.is(await outcome(client.up(life, list)), title === 'with OK' ? 7 : 'Enough')
    t.true(returned)
    t.true(taken < 100, `${taken}`)
  })
}

test.serial('a source that is itself a generator is ended too', async (t) => {
  kinds.handle({up: () => ({value: 7})})
  let ended = false
  async function* messages(signal: AbortSignal) {
    try {
      yield {value: 1}
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    } finally {
      ended = true
    }
  }
  t.is((await client.up(life, messages)).value, 7)
  await life.quiet(t)
  t.true(ended)
})

for (const {title, messages, expected} of [
  {
    title: 'before its first message',
    // biome-ignore lint/correctness/useYield: it throws first
    messages: async function* () {
      throw new Error('source')
    },
    expected: /^source$/,
  },
  {
    title: 'after a message',
    messages: async function* () {
      yield {value: 1}
      throw new Error('source')
    },
    expected: /^source$/,
  },
  {
    title: 'when it is asked for',
    messages: () => {
      throw new Error('source')
    },
    expected: /^source$/,
  },
  {
    title: 'as a list',
    messages: function* () {
      yield {value: 1}
      throw new Error('source')
    },
    expected: /^source$/,
  },
  {
    title: 'with a message that cannot be sent',
    messages: async function* () {
      yield {value: 1}
      yield {value: 2 ** 40}
    },
    expected: /int32/,
  },
]) {
  test.serial(`a source that fails ${title} cancels the call, and the caller gets the error`, async (t) => {
    const ends: unknown[] = []
    kinds.handle({
      async up(requests) {
        for await (const _ of requests);
        ends.push('whole')
        return {}
      },
    })
    const calls = backend.log.length
    const error = await t.throwsAsync(client.up(life, messages))
    t.regex(error?.message ?? '', expected)
    await roundTrips(1)
    await backend.idle()
    t.deepEqual(ends, [])
    const ended = backend.log.slice(calls).filter(({method}) => method.endsWith('/Up'))
    // A call that is cancelled before its first message may never reach the backend.
    t.true(ended.length <= 1)
    t.deepEqual(
      ended.map(({code}) => code),
      ended.map(() => 'CANCELLED'),
    )
  })
}

test.serial('a source is ended if one of its messages cannot be sent', async (t) => {
  let ended = false
  async function* messages() {
    try {
      for (;;) yield {value: 2 ** 40}
    } finally {
      ended = true
    }
  }
  await t.throwsAsync(client.up(life, messages), {message: /int32/})
  await life.quiet(t)
  t.true(ended)
})

test.serial('a backend that reads nothing stops the source', async (t) => {
  const {promise: open, resolve: go} = Promise.withResolvers<void>()
  kinds.handle({
    async up(requests) {
      await open
      let count = 0
      for await (const _ of requests) count++
      return {value: count}
    },
  })
  let taken = 0
  async function* messages() {
    while (taken < 1000) {
      taken++
      yield {filler: new Uint8Array(64 * 1024)}
    }
  }
  const answer = client.up(life, messages)
  await roundTrips(30)
  const before = taken
  // Room for the stream's flow-control window, the buffers of grpc-js and node:http2, and one message in flight.
  t.true(before <= 20, `${before} messages were taken`)
  await roundTrips(30)
  t.is(taken, before)
  go()
  t.is((await answer).value, 1000)
})

test.serial('a caller that reads no answers stops the backend', async (t) => {
  let sent = 0
  kinds.handle({
    async *down() {
      for (;;) {
        sent++
        yield {filler: new Uint8Array(64 * 1024)}
      }
    },
  })
  const answers = client.down(life, {})[Symbol.asyncIterator]()
  await answers.next()
  await roundTrips(30)
  const before = sent
  t.true(before <= 20, `${before} messages were sent`)
  await roundTrips(30)
  t.is(sent, before)
  await answers.next()
  await answers.return?.()
})

test.serial('each of many cold callers continues in its own async context', async (t) => {
  const context = new AsyncLocalStorage<number>()
  runtime.channels.close()
  const contexts = await Promise.all(
    Array.from({length: 20}, (_, index) =>
      context.run(index, async () => {
        const seen = new Set<number | undefined>()
        const look = () => seen.add(context.getStore())
        await client.one(life, {}).finally(look)
        await client.up(life, async function* () {
          look()
          yield {value: 1}
          look()
        })
        look()
        for await (const _ of client.down(life, {value: 3})) look()
        kinds.handle({})
        await t.throwsAsync(client.one(life, {}, {timeout: -1}).finally(look))
        look()
        return [...seen]
      }),
    ),
  )
  t.deepEqual(
    contexts,
    Array.from({length: 20}, (_, index) => [index]),
  )
})

test.serial('a unary answer is exactly one message: none, and two, are INTERNAL', async (t) => {
  const call = (value: number) => kindsCall(Kinds.method.down!, () => [numbered(value)])
  t.is(((await onlyAnswer(call(1))) as Numbered).value, 1)
  const none = await faultOf(t, onlyAnswer(call(0)))
  t.is(none.code, 'INTERNAL')
  t.is(none.message, 'test.Kinds/Down answered nothing')
  const many = await faultOf(t, onlyAnswer(call(1_000_000)))
  t.is(many.message, 'test.Kinds/Down answered more than once')
  t.is(openCalls(), 0)
  await backend.idle()
  t.is(backend.log.at(-1)?.code, 'CANCELLED')
})

test.serial('an answer of another type is INTERNAL, and cancels the call', async (t) => {
  kinds.handle(deaf)
  const call = kindsCall(Kinds.method.down!, () => [numbered()])
  call.deserialize = () => {
    throw new Error('no protobuf')
  }
  const seen = kinds.next()
  const fault = await faultOf(t, onlyAnswer(call))
  t.is(fault.code, 'INTERNAL')
  t.is(fault.message, 'The answer of test.Kinds/Down is not a test.Numbered')
  await (await seen).cancelled
})

test.serial('interceptors surround the whole call: the first one begins first and ends last', async (t) => {
  const steps: string[] = []
  const named = (name: string) => () => {
    steps.push(`${name} begins`)
    return (code: string) => void steps.push(`${name} ends ${code}`)
  }
  const call = kindsCall(Kinds.method.one!, () => [numbered()])
  for await (const _ of send(call, [named('outer'), named('inner')])) steps.push('answer')
  t.deepEqual(steps, ['outer begins', 'inner begins', 'answer', 'inner ends OK', 'outer ends OK'])
})

test.serial('an interceptor that throws fails the call, which has ended for those before it', async (t) => {
  const steps: string[] = []
  const before = () => (code: string) => void steps.push(code)
  const refusing = () => {
    throw new Fault('PERMISSION_DENIED', 'No')
  }
  const after = () => void steps.push('begins')
  const call = kindsCall(Kinds.method.one!, () => [numbered()])
  const calls = openCalls()
  t.is((await faultOf(t, send(call, [before, refusing, after as never]).next())).code, 'PERMISSION_DENIED')
  t.deepEqual(steps, ['PERMISSION_DENIED'])
  t.is(openCalls(), calls)
})

test.serial('the record of the request names the called method, its status and its latency', async (t) => {
  const noted = () => life.notes.grpc as {latencyMs: number}
  const record = {method: 'test.Kinds/One', backend: backend.url}
  await client.one(life, {})
  t.like(noted(), {...record, code: 'OK'})
  t.true(noted().latencyMs >= 0)
  kinds.handle({
    one: () => {
      throw new StatusError(9, 'No')
    },
  })
  await faultOf(t, client.one(life, {}))
  t.like(noted(), {...record, code: 'FAILED_PRECONDITION'})
  kinds.handle(deaf)
  for await (const _ of client.down(life, {})) break
  t.like(noted(), {method: 'test.Kinds/Down', code: 'CANCELLED'})
})

test.serial(
  'a call that its caller may not make is counted, but no record says that a backend was called',
  async (t) => {
    const before = counts()
    const refused = new Fault('PERMISSION_DENIED', 'No')
    const checked = Object.assign(life, {
      checkCall() {
        throw refused
      },
    })
    t.is(await faultOf(t, client.one(checked, {})), refused)
    t.is(life.notes.grpc, undefined)
    const key = 'test.Kinds/One PERMISSION_DENIED'
    t.is(counts()[key], (before[key] ?? 0) + 1)
    t.is(callMetrics().get('test.Kinds/One')?.inFlight, 0)
  },
)

test.serial('a stream whose next message is late is DEADLINE_EXCEEDED, on both ends', async (t) => {
  kinds.handle({
    async *down(_request, context) {
      yield {value: 1}
      await silence(context)
    },
  })
  // On a busy machine the first message may take longer than the timeout. Then the call is repeated with a longer one.
  for (let [timeout, came] = [100, 0]; came === 0; timeout *= 2) {
    const seen = kinds.next()
    const all = async () => {
      for await (const _ of client.down(life, {}, {messageTimeout: timeout})) came++
    }
    const fault = await faultOf(t, all())
    const message = `test.Kinds/Down sent no message for ${timeout / 1000} s`
    t.is(httpStatusOf(fault), 504)
    t.like(fault, {code: 'DEADLINE_EXCEEDED', message})
    t.is(reasonOf(fault), 'MESSAGE_TIMEOUT')
    await (await seen).cancelled
  }
})

test.serial('a timeout for messages that is longer than any timer never passes', async (t) => {
  const go = Promise.withResolvers<void>()
  kinds.handle({
    async *down() {
      await go.promise
      yield {value: 1}
    },
  })
  const seen = kinds.next()
  const answers = valuesOf(client.down(life, {}, {messageTimeout: 2 ** 31}))
  await seen
  // A timer that is set to too long a time fires after 1 ms.
  await new Promise((resolve) => setTimeout(resolve, 10))
  go.resolve()
  t.deepEqual(await answers, [1])
})

test.serial('the time until a caller reads the next message does not count', async (t) => {
  kinds.handle({
    async *down() {
      yield {value: 1}
      yield {value: 2}
    },
  })
  const values: number[] = []
  for await (const {value} of client.down(life, {}, {messageTimeout: 5000})) {
    values.push(value)
    // No timer of the call runs while the caller is busy.
    t.deepEqual(
      runningTimers().filter((timer) => !timer.includes('/connection.ts')),
      [],
    )
  }
  t.deepEqual(values, [1, 2])
})

test.serial('a method counts its calls, in flight and by code, with their latencies', async (t) => {
  const before = counts()
  await client.one(life, {})
  await client.one(life, {})
  kinds.handle({
    one: () => {
      throw new StatusError(5, 'No')
    },
  })
  await faultOf(t, client.one(life, {}))
  for await (const _ of client.down(life, {value: 2})) {
    t.is(callMetrics().get('test.Kinds/Down')?.inFlight, 1)
    break
  }
  kinds.handle({one: (_request, context) => silence(context)})
  const seen = kinds.next()
  const failed = faultOf(t, client.one(life, {}))
  await seen
  t.is(callMetrics().get('test.Kinds/One')?.inFlight, 1)
  life.hangUp()
  await failed
  const after = counts()
  const grown = Object.entries(after).map(([key, calls]) => [key, calls - (before[key] ?? 0)])
  t.deepEqual(Object.fromEntries(grown.filter(([, calls]) => calls)), {
    'test.Kinds/One OK': 2,
    'test.Kinds/One NOT_FOUND': 1,
    'test.Kinds/One CANCELLED': 1,
    'test.Kinds/Down CANCELLED': 1,
  })
  for (const [name, {inFlight, ended}] of callMetrics()) {
    t.is(inFlight, 0, name)
    for (const {calls, latency, maxLatency} of ended.values()) {
      t.true(maxLatency >= 0 && latency >= maxLatency && latency <= calls * maxLatency * (1 + 1e-9))
    }
  }
})

/** The number of calls of each method, by code. */
function counts(): Record<string, number> {
  const rows = [...callMetrics()].flatMap(([method, {ended}]) =>
    [...ended].map(([code, {calls}]) => [`${method} ${code}`, calls] as const),
  )
  return Object.fromEntries(rows)
}

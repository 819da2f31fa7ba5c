import {setImmediate} from 'node:timers/promises'
import {create, fromBinary} from '@bufbuild/protobuf'
import {anyPack, anyUnpack, StringValueSchema} from '@bufbuild/protobuf/wkt'
import {status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {type BackendOptions, startBackend} from '../../local/grpc/backend.ts'
import {type CallContext, type Handlers, implement} from '../../local/grpc/implement.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {StatusSchema} from '../../src/gen/google/rpc/status_pb.js'
import {ask, begin, clientOf} from './caller.ts'
import {Kinds, type Numbered} from './kinds.ts'

const one = Kinds.method.one!
const up = Kinds.method.up!
const down = Kinds.method.down!
const both = Kinds.method.both!

interface Spoken {
  one?(request: Numbered, context: CallContext): Promise<{value: number}>
  up?(requests: AsyncIterable<Numbered>, context: CallContext): Promise<{value: number}>
  down?(request: Numbered, context: CallContext): AsyncIterable<{value: number; filler?: Uint8Array}>
  both?(requests: AsyncIterable<Numbered>, context: CallContext): AsyncIterable<{value: number; filler?: Uint8Array}>
}

async function start(t: ExecutionContext, handlers: Spoken, options: BackendOptions = {}) {
  const kinds = {
    implement: (given: Parameters<typeof implement>[2]) => implement(Kinds, handlers as Handlers<typeof Kinds>, given),
  }
  const backend = await startBackend({...options, services: [kinds]})
  const client = clientOf(backend.target)
  t.teardown(async () => {
    client.close()
    await backend.close(0)
  })
  return {backend, client}
}

const numbers = (count: number) => Array.from({length: count}, (_, index) => ({value: index + 1}))
const valuesOf = (messages: unknown[]) => (messages as Numbered[]).map(({value}) => value)

/** Handlers that compute with numbers: from the request, or up to it. */
const counting: Spoken = {
  async one({value}) {
    return {value: value * 2}
  },
  async up(requests) {
    let sum = 0
    for await (const {value} of requests) sum += value
    return {value: sum}
  },
  async *down({value}) {
    yield* numbers(value)
  },
  async *both(requests) {
    for await (const {value} of requests) yield {value: value * 2}
  },
}

test('each kind of method takes and gives all of its messages, in order', async (t) => {
  const {backend, client} = await start(t, counting)
  const thousand = numbers(1000)
  const cases = [
    [one, [{value: 21}], [42]],
    [up, thousand, [500_500]],
    [up, [], [0]],
    [down, [{value: 1000}], valuesOf(thousand)],
    [down, [{value: 0}], []],
    [both, thousand, thousand.map(({value}) => value * 2)],
    [both, [], []],
  ] as const
  for (const [method, requests, expected] of cases) {
    const {status: end, replies} = await ask(client, method, [...requests])
    t.is(end.code, status.OK, method.name)
    t.deepEqual(valuesOf(replies), expected, method.name)
  }
  await backend.idle()
  t.is(backend.log.length, cases.length)
})

test('a bidi method answers each message before the next one comes', async (t) => {
  const {client} = await start(t, counting)
  const {call, status: end} = begin(client, both, {deaf: true})
  const replies = call[Symbol.asyncIterator]() as AsyncIterator<Numbered>
  for (const {value} of numbers(20)) {
    call.write({value})
    t.is((await replies.next()).value.value, value * 2)
  }
  call.end()
  t.true((await replies.next()).done)
  t.is((await end).code, status.OK)
})

const methods = [one, up, down, both]
const kindsOf = (handler: () => Promise<never>): Spoken => ({
  one: handler,
  up: handler,
  // biome-ignore lint/correctness/useYield: it throws before
  async *down() {
    await handler()
  },
  // biome-ignore lint/correctness/useYield: it throws before
  async *both() {
    await handler()
  },
})

test('an exception becomes INTERNAL without details; the log has it', async (t) => {
  const secret = new Error('password=hunter2')
  const thrown: Spoken = {
    one: () => {
      throw secret
    },
    up: () => {
      throw secret
    },
    down: () => {
      throw secret
    },
    both: () => {
      throw secret
    },
  }
  for (const handlers of [thrown, kindsOf(() => Promise.reject(secret))]) {
    const {backend, client} = await start(t, handlers)
    for (const method of methods) {
      const {status: end} = await ask(client, method, [{value: 1}])
      t.is(end.code, status.INTERNAL, method.name)
      t.is(end.details, 'Internal error', method.name)
      t.like(backend.log.at(-1), {code: 'INTERNAL', error: secret}, method.name)
    }
    await backend.idle()
  }
})

test('a reply that cannot be encoded is INTERNAL too', async (t) => {
  const bad = {value: 'many'} as unknown as {value: number}
  const {backend, client} = await start(t, {
    one: async () => bad,
    async *down() {
      yield {value: 1}
      yield bad
    },
  })
  t.is((await ask(client, one, [{value: 1}])).status.code, status.INTERNAL)
  const {status: end, replies} = await ask(client, down, [{value: 1}])
  t.is(end.code, status.INTERNAL)
  t.deepEqual(valuesOf(replies), [1])
  t.deepEqual(
    backend.log.map(({error}) => error instanceof Error),
    [true, true],
  )
})

test('a StatusError reaches the caller with its code, message, details and trailer', async (t) => {
  const detail = anyPack(StringValueSchema, create(StringValueSchema, {value: 'rich'}))
  const message = 'Not löst, half a \ud83d pair, 100 %'
  const fail = (context: CallContext) => {
    context.trailer.set('x-left', 'behind')
    throw new StatusError(status.NOT_FOUND, message, [detail])
  }
  const {client} = await start(t, {
    one: async (_request, context) => fail(context),
    up: async (_requests, context) => fail(context),
    async *down(_request, context) {
      yield {value: 1}
      fail(context)
    },
    async *both(_requests, context) {
      yield {value: 1}
      fail(context)
    },
  })
  for (const method of methods) {
    const {status: end, replies} = await ask(client, method, [{value: 1}])
    t.is(end.code, status.NOT_FOUND, method.name)
    t.is(end.details, message.toWellFormed(), method.name)
    t.deepEqual(end.metadata.get('x-left'), ['behind'], method.name)
    const [bytes] = end.metadata.get('grpc-status-details-bin')
    const rich = fromBinary(StatusSchema, bytes as Buffer)
    t.is(rich.code, status.NOT_FOUND)
    t.is(anyUnpack(rich.details[0]!, StringValueSchema)?.value, 'rich')
    t.deepEqual(valuesOf(replies), method === down || method === both ? [1] : [])
  }
})

test('headers and trailers go where the handler puts them', async (t) => {
  const {client} = await start(t, {
    async *down(_request, context) {
      context.sendHeader()
      context.trailer.set('x-request', context.requestId)
      yield {value: 1}
    },
  })
  const {call, status: end} = begin(client, down, {metadata: {'x-request-id': 'id-7'}})
  call.end({value: 1})
  t.deepEqual((await end).metadata.get('x-request'), ['id-7'])
})

test('a cancel aborts the signal of each kind, and nothing is left behind', async (t) => {
  const begun: ((signal: AbortSignal) => void)[] = []
  const wait = ({signal}: CallContext) =>
    new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
      begun.shift()?.(signal)
    })
  const {backend, client} = await start(t, {
    one: (_request, context) => wait(context),
    up: (_requests, context) => wait(context),
    async *down(_request, context) {
      yield {value: 1}
      await wait(context)
    },
    async *both(_requests, context) {
      yield {value: 1}
      await wait(context)
    },
  })
  for (const method of methods) {
    const signal = new Promise<AbortSignal>((resolve) => begun.push(resolve))
    const {call, status: end} = begin(client, method)
    call.write({value: 1})
    if (method === one || method === down) call.end()
    const {reason} = await signal.then((given) => {
      call.cancel()
      return new Promise<AbortSignal>((resolve) => given.addEventListener('abort', () => resolve(given)))
    })
    t.is((await end).code, status.CANCELLED, method.name)
    t.true(reason instanceof StatusError)
    t.is(reason.code, status.CANCELLED, method.name)
    await backend.idle()
    t.is(backend.log.at(-1)?.code, 'CANCELLED', method.name)
  }
})

test('a cancel never looks like the end of the stream', async (t) => {
  const ends: string[] = []
  const took = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const readAll = async (requests: AsyncIterable<Numbered>) => {
    try {
      for await (const _ of requests) took[ends.length]?.resolve()
      ends.push('end')
    } catch (error) {
      ends.push((error as Error).message)
      throw error
    }
  }
  const {backend, client} = await start(t, {
    async up(requests) {
      await readAll(requests)
      return {value: 0}
    },
    // biome-ignore lint/correctness/useYield: it only reads
    async *both(requests) {
      await readAll(requests)
    },
  })
  for (const [index, method] of [up, both].entries()) {
    const {call, status: end} = begin(client, method)
    call.write({value: 1})
    await took[index]?.promise
    call.cancel()
    await end
    await backend.idle()
  }
  t.deepEqual(ends, ['Cancelled by the caller', 'Cancelled by the caller'])
})

test('a handler may stop reading early; the rest is dropped', async (t) => {
  const {backend, client} = await start(t, {
    async up(requests) {
      for await (const {value} of requests) return {value}
      return {value: 0}
    },
    async *both(requests) {
      for await (const {value} of requests) {
        yield {value}
        break
      }
      yield {value: -1}
    },
  })
  const first = await ask(client, up, numbers(5000))
  t.is(first.status.code, status.OK)
  t.deepEqual(valuesOf(first.replies), [1])
  const second = await ask(client, both, numbers(5000))
  t.is(second.status.code, status.OK)
  t.deepEqual(valuesOf(second.replies), [1, -1])
  await backend.idle()
})

/** Resolves with `count` when it has not grown for a hundred turns of the event loop. */
async function standstill(count: () => number): Promise<number> {
  let before = -1
  for (let idle = 0; idle < 100; idle = count() === before ? idle + 1 : 0) {
    before = count()
    await setImmediate()
  }
  return before
}

const filler = new Uint8Array(10_000)

test('replies are not produced faster than the caller reads them', async (t) => {
  let made = 0
  const ended = Promise.withResolvers<void>()
  const {backend, client} = await start(t, {
    async *down() {
      try {
        for (;;) yield {value: ++made, filler}
      } finally {
        ended.resolve()
      }
    },
  })
  const {call, status: end} = begin(client, down, {deaf: true})
  call.end({value: 1})
  // A grpc-js client that has never read takes all messages, without limit: its data flows until the first read.
  await call[Symbol.asyncIterator]().next()
  // The caller's window and our own buffer are 64 KiB each, and the caller's grpc-js reads 16 messages ahead.
  const stood = await standstill(() => made)
  t.true(stood >= 7 && stood < 60, String(stood))
  call.cancel()
  await end
  await ended.promise
  await backend.idle()
})

test('requests are not read faster than the handler reads them', async (t) => {
  const go = Promise.withResolvers<void>()
  let taken = 0
  const {client} = await start(
    t,
    {
      async up(requests) {
        for await (const _ of requests) {
          taken++
          await go.promise
        }
        return {value: taken}
      },
    },
    {window: 65535},
  )
  const {call, status: end, replies} = begin(client, up)
  let sent = 0
  for (let index = 0; index < 500; index++) call.write({value: index, filler}, () => sent++)
  // 5 MB were written; the caller's grpc-js takes about 1.2 MiB before it waits.
  const stood = await standstill(() => sent)
  t.true(stood < 200, String(stood))
  t.is(taken, 1)
  go.resolve()
  call.end()
  t.is((await end).code, status.OK)
  t.deepEqual(valuesOf(replies), [500])
})

test('a method without a handler is UNIMPLEMENTED', async (t) => {
  const {client} = await start(t, {})
  for (const method of methods) {
    t.is((await ask(client, method, [{value: 1}])).status.code, status.UNIMPLEMENTED, method.name)
  }
})

import {createServer} from 'node:http2'
import type {AddressInfo} from 'node:net'
import {create, type Message, toBinary} from '@bufbuild/protobuf'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import type {Call, Requests, Sendable} from '../../src/clients/call.ts'
import {invoke} from '../../src/clients/calls/interceptors.ts'
import {openCalls} from '../../src/clients/calls.ts'
import {takesFramed} from '../../src/clients/connections/grpc-internals.ts'
import {callOf, onlyAnswer} from '../../src/clients/service-client.ts'
import {Kinds, type Numbered} from '../local/kinds.ts'
import {KindsService, silence} from './kinds.ts'
import {TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

const kinds = new KindsService()
const backend = await startBackend({services: [kinds], window: 65535})
const runtime = runtimeOf({BACKEND_URL: backend.url})
const {up, both} = Kinds.method as Record<'up' | 'both', (typeof Kinds.methods)[number]>

let life: TestLife
test.beforeEach(() => {
  life = new TestLife()
})
test.afterEach.always(async (t) => {
  await backend.idle()
  await life.quiet(t)
  t.is(openCalls(), 0)
  kinds.handle({})
})
test.after.always(async () => {
  runtime.channels.close()
  await backend.close()
})

function kindsCall(method: typeof up, requests: Requests, backend = runtime.config.backendOf('test.Kinds')): Call {
  return callOf(runtime, {life, backend, method, requests})
}

function message(value: number, size = 0): Message {
  return create(up.input, {value, filler: new Uint8Array(size).fill(value)} as Record<string, unknown>)
}

function range(from: number, to: number): number[] {
  return Array.from({length: to - from}, (_, index) => from + index)
}

/** The values that arrive at the backend, with the sizes of their fillers. */
async function arriving(requests: Requests): Promise<[value: number, size: number][]> {
  const seen: [number, number][] = []
  kinds.handle({
    async up(requests) {
      for await (const {value, filler} of requests) {
        if (filler.some((byte) => byte !== value % 256)) throw new Error(`Message ${value} is another`)
        seen.push([value, filler.length])
      }
      return {}
    },
  })
  await onlyAnswer(kindsCall(up, requests))
  return seen
}

const sizes: Record<string, (value: number) => number> = {
  'empty messages': () => 0,
  'messages of any size up to two batches': (value) => (value * 7919) % 70_000,
  'messages as long as a batch': () => 32 * 1024 - 5 - 10,
}

for (const [name, sizeOf] of Object.entries(sizes)) {
  test.serial(`${name} that are available at once all arrive, in order`, async (t) => {
    const count = 500
    const batches = [range(0, 1), range(1, 1), range(1, 3), range(3, count - 1), range(count - 1, count)]
    const seen = await arriving(async function* () {
      for (const batch of batches) yield batch.values().map((value) => message(value, sizeOf(value)))
    })
    t.deepEqual(
      seen,
      range(0, count).map((value) => [value, sizeOf(value)]),
    )
  })
}

test.serial('messages, encoded messages, and batches of both can be mixed', async (t) => {
  const seen = await arriving(async function* () {
    yield message(0)
    yield toBinary(up.input, message(1) as never)
    yield [message(2), toBinary(up.input, message(3) as never), message(4)]
    yield message(5)
    yield []
    yield [message(6)]
  })
  t.deepEqual(
    seen.map(([value]) => value),
    range(0, 7),
  )
})

test.serial(
  'grpc-js frames messages as grpc-internals.ts does: a thousand messages leave in a few writes',
  async (t) => {
    const chunks: number[] = []
    const server = createServer().listen(0, '127.0.0.1')
    server.on('stream', (stream) => {
      stream.on('data', (chunk: Buffer) => chunks.push(chunk.length))
      stream.on('end', () => {
        stream.respond({':status': 200, 'content-type': 'application/grpc'}, {waitForTrailers: true})
        stream.on('wantTrailers', () => stream.sendTrailers({'grpc-status': '0'}))
        stream.end(Buffer.alloc(5))
      })
    })
    await new Promise((resolve) => server.once('listening', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const target = {...runtime.config.backendOf('test.Kinds'), url, address: url.slice('http://'.length)}
    const requests: Requests = async function* () {
      yield range(0, 1000).map((value) => message(value + 1))
    }
    await onlyAnswer(kindsCall(up, requests, target))
    runtime.channels.close()
    await new Promise((resolve) => server.close(resolve))
    t.true(takesFramed())
    t.is(
      chunks.reduce((sum, size) => sum + size, 0),
      range(0, 1000).reduce((sum, value) => sum + 5 + toBinary(up.input, message(value + 1) as never).length, 0) - 0,
    )
    t.true(chunks.length < 50, `${chunks.length} chunks came`)
  },
)

test.serial('a backend that reads nothing stops a source of batches', async (t) => {
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
  const seen = kinds.next()
  function* batch() {
    for (let index = 0; index < 1000; index++) {
      taken++
      yield message(1, 10)
    }
  }
  const answer = onlyAnswer(
    kindsCall(up, async function* () {
      while (taken < 200_000) yield batch()
    }),
  ) as Promise<Numbered>
  await seen
  await settled(() => taken)
  // Room for the stream's flow-control window, the buffers of grpc-js and node:http2, and a batch in flight, at 19 bytes per
  // message.
  t.true(taken > 0 && taken < 20_000, `${taken} messages were taken`)
  go()
  t.is((await answer).value, taken)
})

test.serial('a caller who hangs up ends a batch and its iterator', async (t) => {
  kinds.handle({up: (_requests, context) => silence(context)})
  const returned = Promise.withResolvers<void>()
  let taken = 0
  function* batch() {
    try {
      for (;;) {
        taken++
        yield message(1, 1000)
      }
    } finally {
      returned.resolve()
    }
  }
  const seen = kinds.next()
  const answer = onlyAnswer(
    kindsCall(up, async function* () {
      yield batch()
    }),
  )
  const {cancelled} = await seen
  await settled(() => taken)
  const reason = life.hangUp()
  t.is(await t.throwsAsync(answer), reason)
  await cancelled
  await returned.promise
})

test.serial('an error in the middle of a batch cancels the call, and the caller gets it', async (t) => {
  const seen = kinds.next()
  const failure = new Error('no more')
  const answer = onlyAnswer(
    kindsCall(up, async function* () {
      yield [message(1)]
      await seen
      yield (function* (): Generator<Sendable> {
        yield message(2)
        throw failure
      })()
    }),
  )
  t.is(await t.throwsAsync(answer), failure)
  await (await seen).cancelled
})

test.serial('each batch of a conversation is sent at once', async (t) => {
  const answers: number[] = []
  let go = () => {}
  const call = kindsCall(both, async function* () {
    for (const batch of [[1], [2, 3], [4]]) {
      const answered = new Promise<void>((resolve) => {
        go = () => {
          if (answers.includes(-batch.at(-1)!)) resolve()
        }
      })
      yield batch.map((value) => message(value))
      await answered
    }
  })
  for await (const answer of invoke(call)) {
    answers.push((answer as Numbered).value)
    go()
  }
  t.deepEqual(answers, [-1, -2, -3, -4])
})

/** Waits until `value` has not changed for many turns of the event loops at both ends. */
async function settled(value: () => number): Promise<void> {
  for (let same = 0, last = value(); same < 200; last = value()) {
    await new Promise(setImmediate)
    same = value() === last ? same + 1 : 0
  }
}

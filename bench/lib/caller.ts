import {once} from 'node:events'
import {setTimeout as pause} from 'node:timers/promises'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {Client, credentials} from '@grpc/grpc-js'
import {createRuntime} from '../../src/clients/runtime.ts'
import {createClient} from '../../src/clients/service-client.ts'
import {readConfig} from '../../src/core/config.ts'
import {Fault} from '../../src/core/fault.ts'
import {PingService, RequestSchema, ResponseSchema} from '../../src/gen/ping/ping_pb.js'

/** A way to call the ping service. */
export type Caller = (message: string, timeout: number) => Promise<unknown>

export const callers = {
  ours: (url: string): Caller => {
    const client = createClient(
      createRuntime(readConfig({BACKEND_URL: url, BACKEND_AUDIENCE: 'none', LOG_LEVEL: 'silent'})),
      PingService,
    )
    return async (message, timeout) => {
      const end = new AbortController()
      const log = {debug() {}, warn() {}}
      const deadline = Date.now() + timeout
      const life = {signal: end.signal, deadline, id: message, trace: {}, log, track: <T>(work: T) => work, note() {}}
      await client.send(life as never, {message}, {timeout})
      end.abort(new Fault('CANCELLED', 'over'))
    }
  },
  'plain grpc-js': (url: string): Caller => spread(url, 1),
  'plain grpc-js, ten channels by hand': (url: string): Caller => spread(url, 10),
} as const

/** grpc-js, used as in its documentation, over several channels in turn. */
function spread(url: string, channels: number): Caller {
  const clients = Array.from(
    {length: channels},
    () =>
      new Client(new URL(url).host, credentials.createInsecure(), {
        ...(channels > 1 && {'grpc.use_local_subchannel_pool': 1}),
      }),
  )
  let next = 0
  return (message, timeout) =>
    new Promise((resolve, reject) => {
      clients[next++ % channels]!.makeUnaryRequest(
        '/ping.PingService/Send',
        (text: string) => Buffer.from(toBinary(RequestSchema, create(RequestSchema, {message: text}))),
        (bytes) => fromBinary(ResponseSchema, bytes),
        message,
        {deadline: Date.now() + timeout},
        (error, answer) => (error ? reject(error) : resolve(answer)),
      )
    })
}

/** A task for a caller process. */
export interface Task {
  readonly calls: number
  readonly concurrency: number
  readonly timeout: number
}

/** The results of a task. */
export interface Outcome {
  /** When the first call began, and when the first one succeeded, in ms since the epoch. */
  readonly began: number
  readonly firstSuccess: number | undefined
  readonly failed: number
  /** Latencies of the successful calls, in ms. */
  readonly latencies: readonly number[]
  /** CPU of the process per call, in µs. */
  readonly cpu: number
}

if (import.meta.main) {
  const [, , name, url] = process.argv as [string, string, keyof typeof callers, string]
  const call = callers[name](url)
  process.on('message', async (task: Task) => process.send?.(await run(call, task)))
  process.once('disconnect', () => process.exit())
  process.send?.('ready')
  await once(process, 'disconnect')
}

async function run(call: Caller, {calls, concurrency, timeout}: Task): Promise<Outcome> {
  const latencies: number[] = []
  const began = Date.now()
  const cpu = process.cpuUsage()
  let [left, failed] = [calls, 0]
  let firstSuccess: number | undefined
  const work = async () => {
    while (left-- > 0) {
      const start = performance.now()
      try {
        await call(`${process.pid}-${left}`, timeout)
        firstSuccess ??= Date.now()
        latencies.push(performance.now() - start)
      } catch {
        failed++
      }
    }
  }
  await Promise.all(Array.from({length: concurrency}, work))
  const {user, system} = process.cpuUsage(cpu)
  await pause(0)
  return {began, firstSuccess, failed, latencies, cpu: (user + system) / calls}
}

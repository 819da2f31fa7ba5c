import {once} from 'node:events'
import {Agent, type ClientRequest, type IncomingMessage, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'
import {deployed} from './lib/deployed.ts'
import {descriptorFile} from './lib/descriptors.ts'
import {
  ask,
  end,
  functionProcess,
  heapOf256MiB,
  median,
  type Server,
  serverProcess,
  stackProcess,
  type Usage,
} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/**
 * Resident memory of 1,000 idle event streams of the gateway that have had one message, in a new process, after garbage
 * collections before and after. Each stream has its own HTTP/1.1 connection and its own call to the backend. The floor is the
 * same with nothing but Node's HTTP server and grpc-js.
 */
const rounds = roundsOr(3)
const streams = 1000
/** Pause between two collections, in ms. */
const settling = 1000
/** Aim, in KiB per stream. */
const aim = 20

using build = await deployed()
using set = descriptorFile()
const stack = await stackProcess({size: 0, open: true})
const env = {
  ...stack.env,
  AUTH: 'none',
  K_SERVICE: 'bench',
  LOG_LEVEL: 'info',
  GATEWAY_DESCRIPTORS: set.path,
  GATEWAY_DEFAULT_BINDINGS: 'true',
  MAX_CONCURRENT_REQUESTS: String(2 * streams),
}
const servers = {
  gateway: (heap: string) => functionProcess('src/main.js', 'gateway', {...env, NODE_OPTIONS: heap}, build.folder),
  floor: (heap: string) => serverProcess('bench/peers/event-streams-floor.js', {...stack.env, NODE_OPTIONS: heap}),
} as const
/** With plenty of memory, V8's young generation grows to 128 MiB, and keeps what it has had. */
const heaps = {
  [`with V8's limits for 256 MiB (\`${heapOf256MiB}\`)`]: heapOf256MiB,
  "with V8's limits for this machine": '',
} as const

const growths = Object.keys(heaps).map(() => ({gateway: [] as Growth[], floor: [] as Growth[]}))
for (let round = 0; round < rounds; round++) {
  for (const [index, heap] of Object.values(heaps).entries()) {
    growths[index]!.gateway.push(await growthOf(await servers.gateway(heap)))
    growths[index]!.floor.push(await growthOf(await servers.floor(heap)))
  }
}
const [ours, least] = [growths[0]!.gateway, growths[0]!.floor].map((all) => median(all.map(({rss}) => rss)))
keep(
  'event-streams',
  Object.keys(heaps).map((how, index) => ({
    title: `${streams} streams that are open and idle, ${how}, medians of ${rounds} new processes`,
    rows: Object.fromEntries(
      Object.entries(growths[index]!).map(([name, all]) => [
        name,
        {
          'KiB a stream': spreadOf(
            all.map(({rss}) => rss),
            1,
          ),
          'of it objects in the heap': spreadOf(
            all.map(({heap}) => heap),
            1,
          ),
        },
      ]),
    ),
    ...(index === 0 && {
      verdict: `Aim: at most ${aim} KiB a stream; ${ours! <= aim ? 'met' : 'missed'}. Node's HTTP server and grpc-js alone, the floor, take ${least!.toFixed(0)} KiB; the gateway takes ${(ours! / least!).toFixed(2)} times as much. By hand there is no number: grpc-js opens one connection to a backend, whose cap is 100 streams, and the 101st waits until another ends.`,
    }),
  })),
)
await end(stack.child, 'stop')
if (ours! > aim) process.exitCode = 1

/** What each stream adds to a process, in KiB. */
interface Growth {
  readonly rss: number
  readonly heap: number
}

async function growthOf(server: Server): Promise<Growth> {
  const agent = new Agent()
  const first = await open(server, agent)
  const before = await collected(server)
  const opened: ClientRequest[] = []
  // In groups, because the backlog of connections that wait to be accepted is short.
  for (let left = streams; left > 0; left -= 100) {
    opened.push(...(await Promise.all(Array.from({length: Math.min(left, 100)}, () => open(server, agent)))))
  }
  const after = await collected(server)
  for (const stream of [first, ...opened]) stream.destroy()
  await end(server.child, 'SIGKILL')
  return {rss: (after.rss - before.rss) / 1024 / streams, heap: (after.heap - before.heap) / 1024 / streams}
}

/** Usage after a collection, a pause in which V8 returns empty pages, and another collection. */
async function collected({child}: Server): Promise<Usage> {
  await ask<Usage>(child, 'collected')
  await pause(settling)
  return await ask<Usage>(child, 'collected')
}

/** Opens a stream, and resolves when its first message has arrived. */
async function open({url}: Server, agent: Agent): Promise<ClientRequest> {
  const headers = {'content-type': 'application/json', accept: 'text/event-stream'}
  const sent = request(`${url}/test.Kinds/Down`, {agent, method: 'POST', headers})
  sent.end('{"value":-1}')
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.on('error', () => {})
  let text = ''
  await new Promise<void>((resolve, reject) => {
    response.on('end', () => reject(new Error(`${url} answered ${response.statusCode}: ${text}`)))
    response.on('data', (piece) => {
      text += piece
      if (text.includes('"value":')) resolve()
    })
  })
  return sent
}

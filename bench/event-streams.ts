import {once} from 'node:events'
import {Agent, type ClientRequest, type IncomingMessage, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'
import {deployed} from './lib/deployed.ts'
import {descriptorFile} from './lib/descriptors.ts'
import {ask, end, functionProcess, median, type Server, stackProcess, type Usage} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/**
 * Resident memory of 1,000 idle event streams of the gateway that have had one message, in a new process, after garbage
 * collections before and after. Each stream has its own HTTP/1.1 connection and its own call to the backend.
 */
const rounds = roundsOr(5)
const streams = 1000
/** Pause between two collections, in ms. */
const settling = 1000
/** Aim, in KiB per stream. */
const aim = 20

using build = await deployed()
using set = descriptorFile()
const stack = await stackProcess({size: 0})
const env = {
  ...stack.env,
  AUTH: 'none',
  K_SERVICE: 'bench',
  LOG_LEVEL: 'info',
  GATEWAY_DESCRIPTORS: set.path,
  GATEWAY_DEFAULT_BINDINGS: 'true',
  MAX_CONCURRENT_REQUESTS: String(2 * streams),
}

const growth: number[] = []
const heap: number[] = []
for (let round = 0; round < rounds; round++) {
  const server = await functionProcess('src/main.js', 'gateway', env, build.folder)
  const agent = new Agent()
  const first = await open(server, agent)
  const before = await collected(server)
  const opened: ClientRequest[] = []
  // In groups, because the backlog of connections that wait to be accepted is short.
  for (let left = streams; left > 0; left -= 100) {
    opened.push(...(await Promise.all(Array.from({length: Math.min(left, 100)}, () => open(server, agent)))))
  }
  const after = await collected(server)
  growth.push((after.rss - before.rss) / 1024 / streams)
  heap.push((after.heap - before.heap) / 1024 / streams)
  for (const stream of [first, ...opened]) stream.destroy()
  await end(server.child, 'SIGKILL')
}
const ours = median(growth)
keep('event-streams', [
  {
    title: `${streams} streams that are open and idle, medians of ${rounds} new processes`,
    rows: {gateway: {'KiB a stream': spreadOf(growth, 1), 'of it objects in the heap': spreadOf(heap, 1)}},
    verdict: `Aim: at most ${aim} KiB a stream; ${ours <= aim ? 'met' : 'missed'}. By hand there is no number: grpc-js opens one connection to a backend, whose cap is 100 streams, and the 101st waits until another ends.`,
  },
])
await end(stack.child, 'stop')
if (ours > aim) process.exitCode = 1

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

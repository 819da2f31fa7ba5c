import {once} from 'node:events'
import {Agent, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'
import {createClient, type Transport} from '@connectrpc/connect'
import {createConnectTransport} from '@connectrpc/connect-node'
import {Kinds, type Numbered} from '../test/local/kinds.ts'
import {deployed} from './lib/deployed.ts'
import {descriptorFile} from './lib/descriptors.ts'
import {nativePeers} from './lib/native-peers.ts'
import {end, functionProcess, median, type Server, serverProcess, stackProcess, usageOf} from './lib/processes.ts'
import {keep, roundsOr, spreadOf, type Table} from './lib/results.ts'

/**
 * Streams of small messages between HTTP and the backend (server stream, client stream and bidirectional): as deployed, by hand
 * in the framework, and by connect-es without the framework. CPU of the function's process per message, and messages per second.
 */
const rounds = roundsOr(5)
const count = 10_000
/** Aims for our CPU, as multiples of connect-es, which has the cheapest streams in JavaScript. */
const kinds = {
  Down: {title: 'in a server stream', aim: 0.82},
  Up: {title: 'in a client stream', aim: 0.51},
  Both: {title: 'up and down in a bidirectional stream', aim: 0.51},
} as const
type Kind = keyof typeof kinds
/** Aim for the rate of a server stream, as a multiple of connect-es. */
const rateAim = 1.2

/** Sends one stream of each kind through a server. */
type Send = (kind: Kind) => Promise<void>

const lines = Array.from({length: count}, (_, index) => `{"value":${index + 1}}`)
const ndjson = `${lines.join('\n')}\n`
const array = `[${lines.join(',')}]`

using build = await deployed()
using set = descriptorFile()
const {peers, leftOut} = await nativePeers()
const stack = await stackProcess({size: 0})
const env = {
  ...stack.env,
  AUTH: 'none',
  K_SERVICE: 'bench',
  LOG_LEVEL: 'info',
  GATEWAY_DESCRIPTORS: set.path,
  GATEWAY_DEFAULT_BINDINGS: 'true',
}
const gateway = await functionProcess('src/main.js', 'gateway', env, build.folder)
const byHand = await functionProcess('bench/peers/streams-by-hand.js', 'streams', env)
const connect = await serverProcess('bench/peers/connect-streams.js', env)
const agent = new Agent({keepAlive: true})

const subjects: Record<string, {server: Server; send: Send; kinds?: readonly Kind[]}> = {
  gateway: {server: gateway, send: rest(gateway, 'application/x-ndjson')},
  "gateway, by Connect's protocol": {server: gateway, send: byConnect(gateway, '1.1'), kinds: ['Down', 'Up']},
  'by hand': {server: byHand, send: rest(byHand, 'application/x-ndjson')},
  'connect-es without the framework': {server: connect, send: byConnect(connect, '2')},
}
for (const [name, start] of Object.entries(peers)) {
  const server = await start(env)
  subjects[name] = {server, send: rest(server, 'application/json', name === 'grpc-gateway' ? ndjson : array)}
}

const tables: Table[] = []
for (const [kind, {title, aim}] of Object.entries(kinds) as [Kind, (typeof kinds)[Kind]][]) {
  const taking = Object.entries(subjects).filter(([, {kinds}]) => kinds?.includes(kind) ?? true)
  const cpu: Record<string, number[]> = Object.fromEntries(taking.map(([name]) => [name, []]))
  const rate: Record<string, number[]> = Object.fromEntries(taking.map(([name]) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, {server, send}] of taking) {
      await pause(50)
      await usageOf(server)
      const began = performance.now()
      await send(kind)
      const seconds = (performance.now() - began) / 1000
      const {cpuSeconds} = await usageOf(server)
      if (round === 0) continue
      cpu[name]!.push((cpuSeconds / count) * 1e6)
      rate[name]!.push(count / seconds / 1000)
    }
  }
  const connectCpu = median(cpu['connect-es without the framework']!)
  const ratio = median(cpu.gateway!) / connectCpu
  const rates = median(rate.gateway!) / median(rate['connect-es without the framework']!)
  const met = ratio <= aim && (kind !== 'Down' || rates >= rateAim)
  const rateVerdict = kind === 'Down' ? `, and at least ${rateAim} times its rate` : ''
  tables.push({
    title: `${count} messages of a number ${title}, medians of ${rounds}`,
    rows: Object.fromEntries(
      taking.map(([name]) => [
        name,
        {
          'CPU µs a message': spreadOf(cpu[name]!, 2),
          '× connect-es': Number((median(cpu[name]!) / connectCpu).toFixed(2)),
          'thousand messages a second': spreadOf(rate[name]!),
        },
      ]),
    ),
    chart: 'CPU µs a message',
    verdict: `Aim for the gateway: at most ${aim} of connect-es${rateVerdict}; ${met ? 'met' : 'missed'}: ${ratio.toFixed(2)}, rate ${rates.toFixed(2)}.`,
  })
  if (!met) process.exitCode = 1
}
keep('streams', tables, leftOut)
agent.destroy()
await Promise.all(
  Object.values(subjects).map(({server: {child}}) => child.exitCode ?? child.signalCode ?? end(child, 'SIGKILL')),
)
await end(stack.child, 'stop')

/** JSON over HTTP/1.1, by POST to the method's name. */
function rest({url}: Server, type: string, messages = ndjson): Send {
  return async (kind) => {
    const headers = {
      'content-type': kind === 'Down' ? 'application/json' : type,
      accept: kind === 'Up' ? 'application/json' : type,
    }
    const sent = request(`${url}/test.Kinds/${kind}`, {agent, method: 'POST', headers})
    sent.end(kind === 'Down' ? `{"value":${count}}` : messages)
    const [response] = await once(sent, 'response')
    let text = ''
    for await (const piece of response.setEncoding('latin1')) text += piece
    const answers = text.split('"value":').length - 1
    if (response.statusCode !== 200 || answers !== (kind === 'Up' ? 1 : count)) {
      throw new Error(
        `${url}/test.Kinds/${kind} answered ${response.statusCode}, ${answers} messages: ${text.slice(0, 200)}`,
      )
    }
  }
}

/** JSON by the client of connect-es. */
function byConnect({url}: Server, httpVersion: '1.1' | '2'): Send {
  const transport: Transport = createConnectTransport({baseUrl: url, httpVersion, useBinaryFormat: false})
  const client = createClient(Kinds, transport) as unknown as {
    down(request: {value: number}): AsyncIterable<Numbered>
    up(requests: AsyncIterable<{value: number}>): Promise<Numbered>
    both(requests: AsyncIterable<{value: number}>): AsyncIterable<Numbered>
  }
  return async (kind) => {
    if (kind === 'Up') {
      await client.up(numbers())
      return
    }
    let answers = 0
    for await (const _ of kind === 'Down' ? client.down({value: count}) : client.both(numbers())) answers++
    if (answers !== count) throw new Error(`${url}/test.Kinds/${kind} answered ${answers} messages`)
  }
}

async function* numbers() {
  for (let value = 1; value <= count; value++) yield {value}
}

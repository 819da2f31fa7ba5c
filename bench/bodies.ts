import {deployed} from './lib/deployed.ts'
import {descriptorFile} from './lib/descriptors.ts'
import {costs, ratioOf, send} from './lib/load.ts'
import {end, functionProcess, stackProcess, type Usage, usageOf} from './lib/processes.ts'
import {keep, roundsOr, type Spread, spreadOf, type Table} from './lib/results.ts'

/** One long string in JSON to the backend and back: through the deployed gateway, and by hand, without limits or checks. */
const rounds = roundsOr(13)
const KiB = 1024
const loads = [
  {size: 64 * KiB, aim: 0.95, requests: 300, concurrency: 4, warmUp: 5000},
  {size: 1024 * KiB, aim: 1, requests: 40, concurrency: 4, warmUp: 300},
] as const

/** Aim for the time that one body may block the event loop, in ms. */
const mostHold = 50

using build = await deployed()
const stack = await stackProcess({size: 0})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench', LOG_LEVEL: 'info'}
const gateway = await functionProcess('src/main.js', 'gateway', env, build.folder)
const byHand = await functionProcess('bench/peers/by-hand.js', 'byHand', env)

const tables: Table[] = []
for (const {size, aim, ...load} of loads) {
  const wrapped = '{"message":""}'.length
  const request = {headers: {'content-type': 'application/json'}, body: `{"message":"${'a'.repeat(size - wrapped)}"}`}
  const targets = {
    gateway: {...gateway, ...request, path: '/api/ping'},
    'by hand': {...byHand, ...request, path: '/'},
  }
  const cost = await costs(targets, load, rounds)
  const ratio = ratioOf(cost.gateway, cost['by hand'])
  tables.push({
    title: `${load.requests} unary calls with ${size / KiB} KiB of JSON, ${load.concurrency} at a time, medians of ${rounds}`,
    rows: Object.fromEntries(Object.entries(cost).map(([name, all]) => [name, {'CPU µs a request': spreadOf(all)}])),
    verdict: `Ratio ${ratio.toFixed(2)} (aim: at most ${aim}).`,
  })
  if (ratio > aim) process.exitCode = 1
}
tables.push(await holds())
keep('bodies', tables)
await Promise.all([gateway, byHand].map(({child}) => end(child, 'SIGKILL')))
await end(stack.child, 'stop')

/** How long a single body blocks the event loop for all others, in a separate process that measures nothing else. */
async function holds(): Promise<Table> {
  using set = descriptorFile()
  const kindsEnv = {GATEWAY_DESCRIPTORS: set.path, GATEWAY_DEFAULT_BINDINGS: 'true', MEASURE_HOLD: '1'}
  const server = await functionProcess('src/main.js', 'gateway', {...env, ...kindsEnv}, build.folder)
  const headers = {'content-type': 'application/json'}
  const requests = {
    'one text': {path: '/api/ping', headers, body: `{"message":"${'a'.repeat(1_000_000)}"}`},
    'a text of escapes': {path: '/api/ping', headers, body: `{"message":"${'\\u00e9'.repeat(160_000)}"}`},
    'bytes in base64': {path: '/test.Kinds/One', headers, body: `{"filler":"${'AAAA'.repeat(250_000)}"}`},
  }
  const rows: Record<string, Record<string, Spread>> = {}
  for (const [name, request] of Object.entries(requests)) {
    const target = {...server, ...request}
    await send(target, {requests: 5, concurrency: 1})
    const all: Usage[] = []
    for (let round = 0; round < 3 * rounds; round++) {
      await usageOf(server)
      await send(target, {requests: 1, concurrency: 1})
      all.push(await usageOf(server))
    }
    rows[name] = {
      'event loop late by ms': spreadOf(all.map(({delay}) => delay)),
      'of it CPU ms': spreadOf(all.map(({hold}) => hold)),
    }
  }
  await end(server.child, 'SIGKILL')
  const most = Math.max(...Object.values(rows).map((row) => row['event loop late by ms']!.median))
  if (most >= mostHold) process.exitCode = 1
  return {
    title: `The longest delay of the event loop by one body of 1 MB, by Node's \`monitorEventLoopDelay\`, ${3 * rounds} times each`,
    rows,
    verdict: `${most} ms (aim: under ${mostHold} ms).`,
  }
}

import {deployed} from './lib/deployed.ts'
import {cost, costs, ratioOf, type Target} from './lib/load.ts'
import {nativePeers} from './lib/native-peers.ts'
import {end, functionProcess, serverProcess, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf, type Table} from './lib/results.ts'

/**
 * The cost of a unary call as deployed (the build, with token, request id, deadline and log line) compared with the same by hand: CPU
 * of the function's process per request, once it is warm, and in the first calls of a new process.
 */
// Many, because V8 compiles again in the first ones after the warm-up: their pauses are new to it.
const rounds = roundsOr(25)
// V8 still compiles for 20,000 calls and more: until then its compiler's threads take up to half of a function's CPU, and the rounds differ
// by a factor of three.
const loads = [
  {requests: 2000, concurrency: 32, warmUp: 20_000},
  {requests: 1000, concurrency: 1, warmUp: 5000},
] as const
/** Aims, as multiples of by hand, in the order of `loads`. */
const aims = [0.6, 0.8] as const
const first = {requests: 2000, concurrency: 32, rounds: roundsOr(7)} as const

using build = await deployed()
const {peers, leftOut} = await nativePeers()
const stack = await stackProcess({size: 0})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench', LOG_LEVEL: 'info'}
const get = '/?message=hello'
const connect = {
  path: '/ping.PingService/Send',
  headers: {'content-type': 'application/json', 'connect-protocol-version': '1'},
  body: '{"message":"hello"}',
}
const apiPing = `/api/ping${get.slice(1)}`
/** Those whose first calls are measured too. */
const starts = {
  hello: async () => ({...(await functionProcess('bench/peers/hello.js', 'hello', env)), path: get}),
  ping: async () => ({...(await functionProcess('src/main.js', 'ping', env, build.folder)), path: get}),
  gateway: async () => ({...(await functionProcess('src/main.js', 'gateway', env, build.folder)), path: apiPing}),
  'by hand': async () => ({...(await functionProcess('bench/peers/by-hand.js', 'byHand', env)), path: get}),
} as const
const firstCost = await firstCosts(starts)
const javaScript = {
  hello: await starts.hello(),
  ping: await starts.ping(),
  gateway: await starts.gateway(),
  'by hand': await starts['by hand'](),
  'by hand, a channel a request': {
    ...(await functionProcess('bench/peers/per-request.js', 'perRequest', env)),
    path: get,
  },
  'connect-es in the framework': {
    ...(await functionProcess('bench/peers/connect-in-framework.js', 'connect', env)),
    path: get,
  },
  'connect-es without the framework': {...(await serverProcess('bench/peers/connect.js', env)), ...connect},
} as const satisfies Record<string, Target>
const native: Record<string, Target> = {}
for (const [name, start] of Object.entries(peers)) {
  native[name] = {...(await start(env)), path: apiPing}
}
const targets: typeof javaScript & Readonly<Record<string, Target>> = {...javaScript, ...native}

const tables: Table[] = []
for (const [index, load] of loads.entries()) {
  const {requests, concurrency, warmUp} = load
  const all = await costs(targets, load, rounds)
  const ratio = ratioOf(all.ping!, all['by hand']!)
  const aim = aims[index]!
  tables.push({
    title: `${requests} unary calls, ${concurrency} at a time, after ${warmUp} to warm up, medians of ${rounds}`,
    rows: rowsOf(all),
    chart: 'CPU µs a request',
    verdict: `Aim for ping: at most ${aim} of by hand; ${ratio <= aim ? 'met' : 'missed'}.`,
  })
  if (ratio > aim) process.exitCode = 1
}
tables.push({
  title: `The first ${first.requests} unary calls of a new process, ${first.concurrency} at a time, medians of ${first.rounds}`,
  rows: rowsOf(firstCost),
  chart: 'CPU µs a request',
})
keep('unary', tables, leftOut)
await Promise.all(Object.values(targets).map(({child}) => end(child, 'SIGKILL')))
await end(stack.child, 'stop')

/** The costs of the first calls, each time of processes of their own. */
async function firstCosts(of: Readonly<Record<string, () => Promise<Target>>>): Promise<Record<string, number[]>> {
  const all: Record<string, number[]> = {}
  for (let round = 0; round < first.rounds; round++) {
    for (const [name, start] of Object.entries(of)) {
      const target = await start()
      all[name] = [...(all[name] ?? []), await cost(target, first)]
      await end(target.child, 'SIGKILL')
    }
  }
  return all
}

function rowsOf(cost: Readonly<Record<string, readonly number[]>>): Table['rows'] {
  return Object.fromEntries(
    Object.entries(cost).map(([name, all]) => [
      name,
      {'CPU µs a request': spreadOf(all), '× by hand': Number(ratioOf(all, cost['by hand']!).toFixed(2))},
    ]),
  )
}

import {deployed} from './lib/deployed.ts'
import {costs, type Target} from './lib/load.ts'
import {nativePeers} from './lib/native-peers.ts'
import {end, functionProcess, median, serverProcess, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf, type Table} from './lib/results.ts'

/**
 * The cost of a unary call as deployed (the build, with token, request id, deadline and log line) compared with the same by hand: CPU
 * of the function's process per request.
 */
// Many short rounds: what else the machine does then meets all functions of a round alike.
const rounds = roundsOr(21)
const loads = [
  {requests: 600, concurrency: 32, warmUp: 5000},
  {requests: 200, concurrency: 1},
] as const
/** Aims, as multiples of by hand, in the order of `loads`. */
const aims = [0.68, 0.8] as const

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
const javaScript = {
  hello: {...(await functionProcess('bench/peers/hello.js', 'hello', env)), path: get},
  ping: {...(await functionProcess('src/main.js', 'ping', env, build.folder)), path: get},
  gateway: {...(await functionProcess('src/main.js', 'gateway', env, build.folder)), path: `/api/ping${get.slice(1)}`},
  'by hand': {...(await functionProcess('bench/peers/by-hand.js', 'byHand', env)), path: get},
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
  native[name] = {...(await start(env)), path: `/api/ping${get.slice(1)}`}
}
const targets: typeof javaScript & Readonly<Record<string, Target>> = {...javaScript, ...native}

const tables: Table[] = []
for (const [index, load] of loads.entries()) {
  const cost = await costs(targets, load, rounds)
  const byHand = cost['by hand']!
  /** The median of each round's ratio. */
  const ratioOf = (all: readonly number[]) => median(all.map((one, round) => one / byHand[round]!))
  const ratio = ratioOf(cost.ping!)
  const aim = aims[index]!
  tables.push({
    title: `${load.requests} unary calls, ${load.concurrency} at a time, medians of ${rounds}`,
    rows: Object.fromEntries(
      Object.entries(cost).map(([name, all]) => [
        name,
        {'CPU µs a request': spreadOf(all), '× by hand': Number(ratioOf(all).toFixed(2))},
      ]),
    ),
    chart: 'CPU µs a request',
    verdict: `Aim for ping: at most ${aim} of by hand; ${ratio <= aim ? 'met' : 'missed'}.`,
  })
  if (ratio > aim) process.exitCode = 1
}
keep('unary', tables, leftOut)
await Promise.all(Object.values(targets).map(({child}) => end(child, 'SIGKILL')))
await end(stack.child, 'stop')

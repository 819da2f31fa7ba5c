import {costs, ratioOf} from './lib/load.ts'
import {end, functionProcess, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/**
 * The cost of a unary call by the gateway: CPU of the function's process per request, as a ratio to the hand-written function `ping`,
 * both measured in turns in one run.
 */
const rounds = roundsOr(31)
const load = {requests: 2000, concurrency: 16, warmUp: 20_000}
/** Aim for the ratio. */
const aim = 1.05

const stack = await stackProcess({size: 0})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench'}
const ping = {...(await functionProcess('src/main.js', 'ping', env)), path: '/?message=hello'}
const gateway = {...(await functionProcess('src/main.js', 'gateway', env)), path: '/api/ping?message=hello'}

const cost = await costs({ping, gateway}, load, rounds)
const ratio = ratioOf(cost.gateway, cost.ping)
keep('gateway', [
  {
    title: `${load.requests} unary calls, ${load.concurrency} at a time, medians of ${rounds}, from source, without the log line`,
    rows: Object.fromEntries(Object.entries(cost).map(([name, all]) => [name, {'CPU µs a request': spreadOf(all)}])),
    verdict: `The median of each turn's ratio is ${ratio.toFixed(3)} (aim: at most ${aim}).`,
  },
])
await Promise.all([end(ping.child, 'SIGTERM'), end(gateway.child, 'SIGTERM')])
await end(stack.child, 'stop')
if (ratio > aim) process.exitCode = 1

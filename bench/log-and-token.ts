import {deployed} from './lib/deployed.ts'
import {costs, ratioOf} from './lib/load.ts'
import {end, functionProcess, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/** A unary call as deployed, with and without its log line and its ID token: CPU of the function's process per request. */
const rounds = roundsOr(13)
const load = {requests: 2000, concurrency: 32, warmUp: 20_000}
/** Aim for the cost with each of the two, as a multiple of the call without it. */
const aim = 1.05

using build = await deployed()
const stack = await stackProcess({size: 0, open: true})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench', LOG_LEVEL: 'info'}
const noLog = {LOG_LEVEL: 'warn'}
const noToken = {BACKEND_AUDIENCE: 'none'}
const ping = async (changes: Record<string, string>) => ({
  ...(await functionProcess('src/main.js', 'ping', {...env, ...changes}, build.folder)),
  path: '/?message=hello',
})
const targets = {
  'log line and token': await ping({}),
  'without the log line': await ping(noLog),
  'without the token': await ping(noToken),
  'without both': await ping({...noLog, ...noToken}),
} as const

const cost = await costs(targets, load, rounds)
const all = cost['log line and token']
const log = ratioOf(all, cost['without the log line'])
const token = ratioOf(all, cost['without the token'])
keep('log-and-token', [
  {
    title: `${load.requests} unary calls of \`ping\`, ${load.concurrency} at a time, medians of ${rounds}`,
    rows: Object.fromEntries(Object.entries(cost).map(([name, all]) => [name, {'CPU µs a request': spreadOf(all)}])),
    verdict: `With the log line ${log.toFixed(2)} of without it, with the token ${token.toFixed(2)} (aim: each at most ${aim}).`,
  },
])
await Promise.all(Object.values(targets).map(({child}) => end(child, 'SIGKILL')))
await end(stack.child, 'stop')
if (Math.max(log, token) > aim) process.exitCode = 1

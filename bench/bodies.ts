import {deployed} from './lib/deployed.ts'
import {costs} from './lib/load.ts'
import {end, functionProcess, median, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf, type Table} from './lib/results.ts'

/** JSON with one long text to the backend and back, through the gateway as deployed and by hand, which has no limits and no checks. */
const rounds = roundsOr(7)
const KiB = 1024
const loads = [
  {size: 64 * KiB, aim: 0.95, requests: 300, concurrency: 4},
  {size: 1024 * KiB, aim: 1, requests: 40, concurrency: 4},
] as const

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
  const ratio = median(cost.gateway) / median(cost['by hand'])
  tables.push({
    title: `${load.requests} unary calls with ${size / KiB} KiB of JSON, ${load.concurrency} at a time, medians of ${rounds}`,
    rows: Object.fromEntries(Object.entries(cost).map(([name, all]) => [name, {'CPU µs a request': spreadOf(all)}])),
    verdict: `Ratio ${ratio.toFixed(2)} (aim: at most ${aim}).`,
  })
  if (ratio > aim) process.exitCode = 1
}
keep('bodies', tables)
await Promise.all([gateway, byHand].map(({child}) => end(child, 'SIGKILL')))
await end(stack.child, 'stop')

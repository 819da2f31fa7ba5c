import {Agent, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'
import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'

/**
 * What the gateway adds to a unary call over the hand-written `ping` function: CPU of the function's process a request,
 * as a ratio, both measured in turns in one run.
 */
const rounds = 9
const requests = 3000
const concurrency = 16
/** What the gateway may cost, as a multiple of `ping`. */
const aim = 1.15

const agent = new Agent({keepAlive: true, maxSockets: concurrency})
const stack = await stackProcess({size: 0})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench'}
const ping = {...(await functionProcess('src/main.js', 'ping', env)), path: '/?message=hello'}
const gateway = {...(await functionProcess('src/main.js', 'gateway', env)), path: '/api/ping?message=hello'}
type Target = typeof ping

const cost: {ping: number[]; gateway: number[]} = {ping: [], gateway: []}
for (let round = 0; round <= rounds; round++) {
  for (const [name, target] of Object.entries({ping, gateway}) as [keyof typeof cost, Target][]) {
    const measured = await measure(target)
    if (round > 0) cost[name].push(measured)
  }
}
const ratio = median(cost.gateway) / median(cost.ping)
console.log(`${requests} unary calls, ${concurrency} at a time, medians of ${rounds}`)
console.table(
  Object.fromEntries(
    Object.entries(cost).map(([name, costs]) => [name, {'CPU µs a request': Math.round(median(costs))}]),
  ),
)
console.log(`ratio ${ratio.toFixed(3)} (aim: under ${aim})`)
agent.destroy()
await Promise.all([end(ping.child, 'SIGTERM'), end(gateway.child, 'SIGTERM')])
await end(stack.child, 'stop')
if (ratio >= aim) process.exitCode = 1

/** CPU of the function's process a request, in µs. */
async function measure(target: Target): Promise<number> {
  await pause(50)
  await ask<Usage>(target.child, 'usage')
  let left = requests
  await Promise.all(
    Array.from({length: concurrency}, async () => {
      while (left-- > 0) await call(target)
    }),
  )
  const {cpuSeconds} = await ask<Usage>(target.child, 'usage')
  return (cpuSeconds / requests) * 1e6
}

function call({url, path}: Target): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(url + path, {agent}, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${path} answered ${response.statusCode}`))
      response.resume().on('end', resolve)
    })
    sent.on('error', reject).end()
  })
}

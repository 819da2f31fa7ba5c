import {Agent, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'
import {doorFor} from '../src/auth/door.ts'
import {readConfig} from '../src/core/config.ts'
import {startIssuer, type TestIssuer} from '../test/auth/issuer.ts'
import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'

/**
 * What AUTH=jwt adds to a unary call of a caller whose token has been verified before: CPU of the function's process a
 * request, as a ratio to AUTH=none, both measured in turns in one run. And what the first verification costs.
 */
const rounds = Number(process.argv[2] ?? 9)
const requests = 3000
const concurrency = 16
/** What it may cost, as a multiple. */
const aim = 1.05

const agent = new Agent({keepAlive: true, maxSockets: concurrency})
const stack = await stackProcess({size: 0})
const issuer = await startIssuer()
const authorization = `Bearer ${await issuer.token({email: 'ada@example.com', email_verified: true, name: 'Ada'})}`
const jwt = {AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`}
const targets = {
  none: await functionProcess('src/main.js', 'gateway', {...stack.env, AUTH: 'none'}),
  jwt: await functionProcess('src/main.js', 'gateway', {...stack.env, ...jwt}),
}
type Target = (typeof targets)['none']

const cost: Record<keyof typeof targets, number[]> = {none: [], jwt: []}
for (let round = 0; round <= rounds; round++) {
  for (const name of ['none', 'jwt'] as const) {
    const measured = await measure(targets[name])
    if (round > 0) cost[name].push(measured)
  }
}
const ratio = median(cost.jwt) / median(cost.none)
console.log(`${requests} unary calls, ${concurrency} at a time, medians of ${rounds}`)
console.table(
  Object.fromEntries(
    Object.entries(cost).map(([name, costs]) => [`AUTH=${name}`, {'CPU µs a request': Math.round(median(costs))}]),
  ),
)
console.log(`ratio ${ratio.toFixed(3)} (aim: at most ${aim})`)
console.log(`ES256, a token that is new: ${Math.round(await verification(issuer))} µs of CPU`)
agent.destroy()
await Promise.all(Object.values(targets).map(({child}) => end(child, 'SIGTERM')))
await end(stack.child, 'stop')
await issuer.close()
if (ratio > aim) process.exitCode = 1

/** CPU of this process for a token that has not been seen before, in µs. */
async function verification(from: TestIssuer): Promise<number> {
  const door = doorFor(readConfig({AUTH: 'jwt', AUTH_ISSUERS: `${from.url} audience=api`}).auth)
  const tokens = await Promise.all(Array.from({length: 2000}, (_, index) => from.token({sub: `user-${index}`})))
  const proofs = tokens.map((token) => ({
    headers: {authorization: `Bearer ${token}`},
    rawHeaders: [],
    resource: 'http://localhost',
    signal: new AbortController().signal,
    rawBody: async () => Buffer.alloc(0),
    identified() {},
    report() {},
  }))
  for (const one of proofs.slice(0, 1000)) await door.admit(one, {})
  const before = process.cpuUsage()
  for (const one of proofs.slice(1000)) await door.admit(one, {})
  const {user, system} = process.cpuUsage(before)
  return (user + system) / 1000
}

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

function call({url}: Target): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/api/ping?message=hello`, {agent, headers: {authorization}}, (response) => {
      if (response.statusCode !== 200) reject(new Error(`It answered ${response.statusCode}`))
      response.resume().on('end', resolve)
    })
    sent.on('error', reject).end()
  })
}

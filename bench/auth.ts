import {doorFor} from '../src/auth/door.ts'
import {readConfig} from '../src/core/config.ts'
import {startIssuer, type TestIssuer} from '../test/auth/issuer.ts'
import {costs, ratioOf} from './lib/load.ts'
import {end, functionProcess, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/**
 * The cost of AUTH=jwt for a unary call with a cached token: CPU of the function's process per request, as a ratio to AUTH=none, both
 * measured in turns in one run. Also the cost of the first verification.
 */
const rounds = roundsOr(9)
const load = {requests: 3000, concurrency: 16, warmUp: 20_000}
/** Aim for the ratio. */
const aim = 1.05

const stack = await stackProcess({size: 0})
const issuer = await startIssuer()
const authorization = `Bearer ${await issuer.token({email: 'ada@example.com', email_verified: true, name: 'Ada'})}`
const jwt = {AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`}
const call = {path: '/api/ping?message=hello', headers: {authorization}}
const targets = {
  none: {...(await functionProcess('src/main.js', 'gateway', {...stack.env, AUTH: 'none'})), ...call},
  jwt: {...(await functionProcess('src/main.js', 'gateway', {...stack.env, ...jwt})), ...call},
}

const cost = await costs(targets, load, rounds)
const ratio = ratioOf(cost.jwt, cost.none)
const fresh = Math.round(await verification(issuer))
keep('auth', [
  {
    title: `${load.requests} unary calls, ${load.concurrency} at a time, medians of ${rounds}`,
    rows: Object.fromEntries(
      Object.entries(cost).map(([name, all]) => [`AUTH=${name}`, {'CPU µs a request': spreadOf(all)}]),
    ),
    verdict: `Ratio ${ratio.toFixed(3)} (aim: at most ${aim}). The first request with a token, by ES256: ${fresh} µs of CPU more.`,
  },
])
await Promise.all(Object.values(targets).map(({child}) => end(child, 'SIGTERM')))
await end(stack.child, 'stop')
await issuer.close()
if (ratio > aim) process.exitCode = 1

/** CPU of this process for a token that it has not seen before, in µs. */
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

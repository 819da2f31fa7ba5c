/** `node test/fuzz/tokens.ts [runs]`: sends mutations of valid tokens, and exits with 1 if one is accepted. */
import {randomBytes} from 'node:crypto'
import {startIssuer} from '../auth/issuer.ts'
import {mutated} from '../auth/mutations.ts'
import {startApp} from '../helpers/app.ts'

const runs = Number(process.argv[2] ?? 10_000)
const issuers = await Promise.all([startIssuer(), startIssuer({alg: 'RS256', slash: true})])
const rows = issuers.map(({url}) => `${url} audience=api`).join(';')
const app = await startApp({target: 'health', env: {AUTH: 'jwt', AUTH_ISSUERS: rows}})
const ask = async (token: string) => (await fetch(app.url('/'), {headers: {authorization: `Bearer ${token}`}})).status

for (const issuer of issuers) {
  const token = await issuer.token({email: 'ada@example.com'})
  const seed = randomBytes(4).readUInt32BE()
  if ((await ask(token)) !== 200) throw new Error('The token itself is refused')
  for (const mutation of mutated(token, runs / issuers.length, seed)) {
    const status = await ask(mutation)
    if (status === 401) continue
    console.error(`${status} for ${mutation}\nin place of ${token} (seed ${seed})`)
    process.exitCode = 1
  }
}
console.error(`${runs} mutations, ${process.exitCode ? 'not all' : 'all'} refused`)
await app.close()
await Promise.all(issuers.map((issuer) => issuer.close()))
process.exit()

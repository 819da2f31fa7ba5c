import test from 'ava'
import {type Logger, pino} from 'pino'
import {MemoryRates, ratedCaller} from '../../src/http/rate-limit.ts'
import {startIssuer} from '../auth/issuer.ts'
import {startApp} from '../helpers/app.ts'

test.serial('a caller above its rate is refused with 429, and told its state', async (t) => {
  const app = await startApp({env: {RATE_LIMIT: '3/1h', CORS_ORIGINS: 'https://app.example', TRUSTED_HOPS: '0'}})
  t.teardown(() => app.close())
  const ask = (address: string, path = '/ping?message=hi') =>
    app.ask(t, path, {headers: {'x-forwarded-for': `1.1.1.1, ${address}`, origin: 'https://app.example'}})
  for (const left of [2, 1, 0]) {
    const {status, headers} = await ask('10.0.0.1')
    t.is(status, 200)
    t.is(headers.get('ratelimit-policy'), '"default";q=3;w=3600')
    t.regex(headers.get('ratelimit') ?? '', new RegExp(`^"default";r=${left};t=(3600|3[45]\\d\\d)$`))
  }
  const refused = await ask('10.0.0.1')
  t.is(refused.status, 429)
  t.is(refused.json.error.status, 'RESOURCE_EXHAUSTED')
  t.like(refused.json.error.details[0], {reason: 'RATE_LIMIT_EXCEEDED', metadata: {limit: '3'}})
  t.regex(refused.headers.get('ratelimit') ?? '', /^"default";r=0;t=\d+$/)
  t.regex(refused.headers.get('retry-after') ?? '', /^3\d\d\d$/)
  t.is(refused.headers.get('access-control-allow-origin'), 'https://app.example')
  t.is((await ask('10.0.0.2')).status, 200)
  t.is((await ask('10.0.0.1', '/health')).status, 200)
  t.is((await ask('10.0.0.1', '/health/live')).status, 200)
  t.is((await ask('10.0.0.1', '/nowhere')).status, 429)
})

test.serial(
  'a verified caller has its own rate for all its addresses, and so has an address that is refused',
  async (t) => {
    const issuer = await startIssuer()
    const app = await startApp({env: {RATE_LIMIT: '2/60s', AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`}})
    t.teardown(async () => {
      await app.close()
      await issuer.close()
    })
    const ask = async (sub: string, address: string) => {
      const authorization = `Bearer ${await issuer.token({sub})}`
      return (await app.ask(t, '/ping?message=hi', {headers: {authorization, 'x-forwarded-for': address}})).status
    }
    t.deepEqual(
      [await ask('ada', '10.0.0.1'), await ask('ada', '10.0.0.2'), await ask('ada', '10.0.0.3')],
      [200, 200, 429],
    )
    t.is(await ask('eve', '10.0.0.1'), 200)
    const guess = async () =>
      (await app.ask(t, '/ping', {headers: {authorization: 'Bearer x', 'x-forwarded-for': '10.0.0.9'}})).status
    t.deepEqual([await guess(), await guess(), await guess()], [401, 401, 429])
    const probe = async (headers: Record<string, string>) => (await app.ask(t, '/health', {headers})).status
    const stranger = {authorization: 'Bearer x', 'x-forwarded-for': '10.0.0.10'}
    t.deepEqual([await probe(stranger), await probe(stranger), await probe(stranger)], [401, 401, 429])
    const known = {authorization: `Bearer ${await issuer.token({sub: 'ada'})}`}
    t.is(await probe(known), 200)
  },
)

test.serial(
  'a store shared by several instances decides for all of them, and none refuses if it is unavailable',
  async (t) => {
    const counts = new Map<string, number>()
    let isAway = false
    const rateLimits = {
      async count(caller: string, window: number) {
        if (isAway) throw new Error('no connection')
        counts.set(caller, (counts.get(caller) ?? 0) + 1)
        return {count: counts.get(caller)!, endsIn: window}
      },
    }
    const apps = await Promise.all([1, 2].map(() => startApp({env: {RATE_LIMIT: '1/60s'}, rateLimits})))
    t.teardown(() => Promise.all(apps.map((app) => app.close())))
    const ask = async (index: number) => (await fetch(apps[index]!.url('/ping?message=hi'))).status
    t.deepEqual([await ask(0), await ask(1)], [200, 429])
    t.deepEqual([...counts.keys()], ['address 127.0.0.1'])
    isAway = true
    t.is(await ask(1), 200)
  },
)

test.serial('a store that hangs delays a request for a moment, and no request is refused', async (t) => {
  const lines: string[] = []
  const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger
  const rateLimits = {count: () => new Promise<never>(() => {})}
  const app = await startApp({env: {RATE_LIMIT: '1/60s'}, rateLimits, log})
  t.teardown(() => app.close())
  const {status, headers} = await app.ask(t, '/ping?message=hi')
  t.is(status, 200)
  t.false(headers.has('ratelimit'))
  t.regex(lines.join(''), /The store did not answer within 500 ms/)
})

test('a window ends, and the number of remembered callers is limited', async (t) => {
  const rates = new MemoryRates()
  t.is(rates.count('a', 60_000).count, 1)
  t.is(rates.count('a', 60_000).count, 2)
  t.is(rates.count('b', 1).count, 1)
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.is(rates.count('b', 1).count, 1)
  for (let caller = 0; caller < 10_000; caller++) rates.count(`other ${caller}`, 60_000)
  t.is(rates.count('a', 60_000).count, 1)
})

test('addresses of the same IPv6 network are one caller', (t) => {
  const one = ratedCaller(undefined, '2001:db8:0:1::1')
  t.is(one, 'address 2001:db8:0:1::/64')
  t.is(ratedCaller(undefined, '2001:0db8::1:ffff:0:0:2'), one)
  t.not(ratedCaller(undefined, '2001:db8:0:2::1'), one)
  t.is(ratedCaller(undefined, '::1'), 'address 0:0:0:0::/64')
  t.is(ratedCaller(undefined, '::ffff:10.0.0.1'), ratedCaller(undefined, '10.0.0.1'))
})

import test from 'ava'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {IdTokenSource} from '../../src/clients/identity/id-tokens.ts'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {runningTimers} from '../helpers/timers.ts'
import {advance} from './clock.ts'
import {faultOf, reasonOf, TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

const metadata = await startMetadataServer()
const {idTokens, credentials} = runtimeOf(metadata.env)

const minute = 60_000
let life: TestLife
test.beforeEach(() => {
  life = new TestLife({timeout: 120 * minute})
})
test.afterEach.always(async (t) => {
  metadata.recover()
  metadata.lifetimeSeconds = 3600
  await metadata.idle()
  await life.quiet(t)
  t.deepEqual(runningTimers(), [])
})
test.after.always(() => metadata.close())

/** The number of requests that the metadata server gets during `work`. */
async function fetches(work: () => Promise<unknown>): Promise<number> {
  const before = metadata.identityRequests.length
  await work()
  return metadata.identityRequests.length - before
}

/** A source whose token expires in four minutes, so that it is due for a refresh. */
async function stale(name: string) {
  const source = new IdTokenSource(`https://${name}.a.run.app`, credentials)
  const old = await source.token(life)
  advance(56 * minute)
  return {source, old}
}

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
}

test.serial('100 cold callers share one fetch', async (t) => {
  const source = idTokens.for('https://cold.a.run.app')
  t.is(await fetches(() => Promise.all(Array.from({length: 100}, () => source.token(life)))), 1)
  const tokens = await Promise.all(Array.from({length: 100}, () => source.token(life)))
  t.is(new Set(tokens).size, 1)
  t.is(claimsOf(tokens[0]!).aud, 'https://cold.a.run.app')
})

test.serial('each audience has one source, and a token of its own', async (t) => {
  t.is(idTokens.for('https://a.a.run.app'), idTokens.for('https://a.a.run.app'))
  const [a, b] = await Promise.all(['a', 'b'].map((name) => idTokens.for(`https://${name}.a.run.app`).token(life)))
  t.is(claimsOf(a!).aud, 'https://a.a.run.app')
  t.is(claimsOf(b!).aud, 'https://b.a.run.app')
})

test.serial(
  'a token is used until it has five minutes left, and is then refreshed once, by the next request',
  async (t) => {
    const source = new IdTokenSource('https://kept.a.run.app', credentials)
    const first = await source.token(life)
    advance(54 * minute)
    t.is(await fetches(async () => t.is(await source.token(life), first)), 0)
    advance(2 * minute)
    const refreshed = new Set<string>()
    const ask = async () => refreshed.add(await source.token(life))
    t.is(await fetches(() => Promise.all(Array.from({length: 100}, ask))), 1)
    t.is(refreshed.size, 1)
    t.false(refreshed.has(first))
  },
)

test.serial('nothing is fetched in the background', async (t) => {
  const {source, old} = await stale('background')
  const asked = metadata.nextIdentityRequest()
  // The token is due for a refresh, but there is no timer that could fetch one.
  t.deepEqual(runningTimers(), [])
  t.is(await Promise.race([asked, new Promise((resolve) => setImmediate(resolve, 'nobody'))]), 'nobody')
  t.not(await source.token(life), old)
  t.is((await asked).audience, 'https://background.a.run.app')
})

test.serial('a token of ten seconds is kept for half of its lifetime, not fetched for every call', async (t) => {
  metadata.lifetimeSeconds = 10
  const source = new IdTokenSource('https://short.a.run.app', credentials)
  const token = await source.token(life)
  advance(3000)
  t.is(await fetches(async () => t.is(await source.token(life), token)), 0)
  advance(3000)
  t.is(await fetches(async () => t.not(await source.token(life), token)), 1)
})

for (const status of [404, 500, 503] as const) {
  test.serial(`a refresh that fails with ${status} leaves the old token in use until it expires`, async (t) => {
    const {source, old} = await stale(`refresh-${status}`)
    metadata.fail(status)
    t.is(await source.token(life), old)
    t.regex(life.warnings.join(), new RegExp(`"https://refresh-${status}.a.run.app" could not be refreshed`))
    // Not every call tries again at once.
    t.is(await fetches(() => source.token(life)), 0)
    advance(11_000)
    t.is(await fetches(async () => t.is(await source.token(life), old)), 1)
    advance(4 * minute)
    const fault = await faultOf(t, source.token(life))
    t.is(fault.code, 'UNAVAILABLE')
    metadata.recover()
    t.not(await source.token(life), old)
  })
}

test.serial('a refresh that hangs delays a request only for a moment, and the old token is used', async (t) => {
  const {source, old} = await stale('refresh-hangs')
  metadata.hang()
  // The source's own timeout ends it: the request has a minute.
  t.deepEqual(await Promise.all([source.token(life), source.token(life)]), [old, old])
  await metadata.idle()
  t.is(await fetches(async () => t.is(await source.token(life), old)), 0)
  advance(4 * minute)
  const late = new TestLife({timeout: 20})
  t.is((await faultOf(t, source.token(late))).code, 'DEADLINE_EXCEEDED')
  metadata.recover()
  t.not(await source.token(life), old)
})

test.serial('a refresh that hangs leaves a request with little time half of it, and the old token', async (t) => {
  const {source, old} = await stale('refresh-short')
  metadata.hang()
  const short = new TestLife({timeout: 200})
  const end = setTimeout(() => short.hangUp(), 190)
  t.is(await source.token(short), old)
  clearTimeout(end)
  await metadata.idle()
})

test.serial('a caller who hangs up while a refresh hangs is released at once', async (t) => {
  const {source, old} = await stale('refresh-hung-up')
  metadata.hang()
  const caller = new TestLife()
  const asked = metadata.nextIdentityRequest()
  const token = source.token(caller)
  await asked
  const reason = caller.hangUp()
  t.is(await faultOf(t, token), reason)
  await metadata.idle()
  metadata.fail(500)
  t.is(await source.token(life), old)
})

for (const status of [500, 503] as const) {
  test.serial(`if a metadata server answers ${status} for a moment, no request fails`, async (t) => {
    const source = new IdTokenSource(`https://moment-${status}.a.run.app`, credentials)
    metadata.fail(status, 2)
    t.is(await fetches(() => Promise.all([source.token(life), source.token(life)])), 3)
  })
}

test.serial('a failed fetch is UNAVAILABLE with a text for the caller, and the next request tries again', async (t) => {
  for (const status of [404, 500, 503] as const) {
    const source = new IdTokenSource('https://failing.a.run.app', credentials)
    metadata.fail(status)
    t.is(
      await fetches(async () => {
        const faults = await Promise.all(Array.from({length: 10}, () => faultOf(t, source.token(life))))
        for (const fault of faults) {
          t.is(fault.code, 'UNAVAILABLE')
          t.is(httpStatusOf(fault), 503)
          t.is(fault.message, 'Cannot get an ID token for the backend')
          t.is(reasonOf(fault), 'ID_TOKEN_UNAVAILABLE')
          t.regex(fault.hint ?? '', /"https:\/\/failing\.a\.run\.app"/)
          t.is(fault.retryAfter, 1)
          t.truthy(fault.cause)
        }
      }),
      // Transient errors are retried twice.
      status === 404 ? 1 : 3,
    )
    metadata.recover()
    t.is(await fetches(() => source.token(life)), 1)
  }
})

test.serial('waiting for a metadata server that hangs ends at the deadline, and so does the fetch', async (t) => {
  metadata.hang()
  const source = new IdTokenSource('https://hangs.a.run.app', credentials)
  const fault = await faultOf(t, source.token(new TestLife({timeout: 20})))
  t.is(fault.code, 'DEADLINE_EXCEEDED')
  t.is(httpStatusOf(fault), 504)
  t.is(fault.message, 'No ID token for the backend in time')
  await metadata.idle()
  metadata.recover()
  t.truthy(await source.token(life))
})

test.serial('a timeout of zero does not wait for ever', async (t) => {
  metadata.hang()
  const source = new IdTokenSource('https://no-time.a.run.app', credentials)
  t.is((await faultOf(t, source.token(new TestLife({timeout: -1000})))).code, 'DEADLINE_EXCEEDED')
  await metadata.idle()
})

test.serial('a deadline that is too far away for a timer still works', async (t) => {
  const source = new IdTokenSource('https://far.a.run.app', credentials)
  t.truthy(await source.token(new TestLife({timeout: Number.POSITIVE_INFINITY})))
})

test.serial('one of three callers hangs up, and the others get their token', async (t) => {
  const source = new IdTokenSource('https://three.a.run.app', credentials)
  const {promise: until, resolve: go} = Promise.withResolvers<void>()
  metadata.delay(until)
  const asked = metadata.nextIdentityRequest()
  const impatient = new TestLife()
  const [first, second, third] = [source.token(impatient), source.token(life), source.token(life)]
  await asked
  const reason = impatient.hangUp()
  t.is(await faultOf(t, first), reason)
  t.is(metadata.openRequests(), 1)
  go()
  t.is(await second, await third)
  await impatient.quiet(t)
})

test.serial('when the last caller has hung up the fetch is cancelled, and the next one starts anew', async (t) => {
  const source = new IdTokenSource('https://last.a.run.app', credentials)
  metadata.hang()
  const callers = [new TestLife(), new TestLife()]
  const asked = metadata.nextIdentityRequest()
  const tokens = callers.map((caller) => source.token(caller))
  await asked
  t.is(metadata.openRequests(), 1)
  const reasons = callers.map((caller) => caller.hangUp())
  t.deepEqual(await Promise.all(tokens.map((token) => faultOf(t, token))), reasons)
  await metadata.idle()
  t.is(metadata.openRequests(), 0)
  metadata.recover()
  t.is(await fetches(() => source.token(life)), 1)
})

test.serial('a caller who has already hung up causes no fetch', async (t) => {
  const source = new IdTokenSource('https://gone.a.run.app', credentials)
  metadata.hang()
  const gone = new TestLife()
  const reason = gone.hangUp()
  t.is(await faultOf(t, source.token(gone)), reason)
  await metadata.idle()
  metadata.recover()
  t.truthy(await source.token(life))
})

test.serial('an audience is sent unchanged, whatever it contains', async (t) => {
  const audience = 'https://x.a.run.app/?a=1&format=standard#ü%2F+'
  const token = await new IdTokenSource(audience, credentials).token(life)
  t.deepEqual(metadata.identityRequests.at(-1), {audience, format: 'full'})
  t.is(claimsOf(token).aud, audience)
})

test.serial('a token that the backend rejected is removed from the cache once, by the call that used it', async (t) => {
  const source = new IdTokenSource('https://forgotten.a.run.app', credentials)
  const first = await source.token(life)
  advance(1000)
  source.forget(first)
  const second = await source.token(life)
  t.not(second, first)
  // A call that was in flight with the first token is rejected too. That must not remove the second token.
  source.forget(first)
  t.is(await fetches(async () => t.is(await source.token(life), second)), 0)
})

import {mock} from 'node:test'
import test from 'ava'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {IdTokenSource} from '../../src/clients/identity/id-tokens.ts'
import {TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

const minute = 60_000
const metadata = await startMetadataServer()
const {credentials} = runtimeOf(metadata.env)
test.after.always(() => {
  mock.timers.reset()
  return metadata.close()
})

/** Moves the clock and all timers of this process forward, and then lets due callbacks run. */
async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms)
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
}

/**
 * Whether the server has none of our requests left after it has answered some others, without waiting for any timeout of the
 * fetch.
 */
async function isBrokenOff(): Promise<boolean> {
  for (let trips = 0; trips < 50 && metadata.openRequests() > 0; trips++) {
    await (await fetch(`http://${metadata.host}/`)).text()
  }
  return metadata.openRequests() === 0
}

test.serial('while a refresh hangs: who gets an answer first, who waits, and when it is retried', async (t) => {
  mock.timers.enable({apis: ['setTimeout', 'Date'], now: Date.now()})
  const source = new IdTokenSource('https://patience.a.run.app', credentials)
  const old = await source.token(new TestLife())
  const events: string[] = []
  const happened = () => events.splice(0)
  const ask = (name: string, timeout: number) => {
    const life = new TestLife({timeout})
    source.token(life).then(
      (token) => events.push(`${name} has the ${token === old ? 'old' : 'new'} token`),
      ({code}) => events.push(`${name} has ${code}`),
    )
  }
  const fetches = () => metadata.identityRequests.length

  await pass(56 * minute)
  metadata.hang()
  const begun = metadata.nextIdentityRequest()
  ask('one with an hour', 60 * minute)
  ask('one with a second', 1000)
  await begun
  t.is(fetches(), 2, 'both wait for one fetch')
  await pass(499)
  t.deepEqual(happened(), [])
  await pass(1)
  t.deepEqual(happened(), ['one with a second has the old token'], 'after half of its time')
  t.is(metadata.openRequests(), 1, 'the other still waits')
  await pass(1499)
  t.deepEqual(happened(), [])
  await pass(1)
  t.deepEqual(happened(), ['one with an hour has the old token'])
  t.true(await isBrokenOff(), 'nobody waits: the fetch is broken off')

  await pass(9999)
  ask('one in the pause', 60 * minute)
  await pass(0)
  t.deepEqual([happened(), fetches()], [['one in the pause has the old token'], 2], 'nothing is asked for')
  await pass(1)
  const again = metadata.nextIdentityRequest()
  ask('one after the pause', 60 * minute)
  await again
  t.deepEqual([happened(), fetches()], [[], 3])
  await pass(2000)
  t.deepEqual(happened(), ['one after the pause has the old token'])
  t.true(await isBrokenOff())

  await pass(4 * minute)
  const late = metadata.nextIdentityRequest()
  ask('one without a token', 5000)
  await late
  await pass(4999)
  t.deepEqual(happened(), [], 'no token serves any more: it waits for all of its time')
  await pass(1)
  t.deepEqual(happened(), ['one without a token has DEADLINE_EXCEEDED'])
  t.true(await isBrokenOff())
})

test.serial('a token is refreshed by the first request in its last five minutes', async (t) => {
  metadata.recover()
  const source = new IdTokenSource('https://five.a.run.app', credentials)
  const old = await source.token(new TestLife())
  const claims = JSON.parse(Buffer.from(old.split('.')[1]!, 'base64url').toString()) as {exp: number}
  await pass(claims.exp * 1000 - Date.now() - 5 * minute - 1)
  t.is(await source.token(new TestLife()), old)
  await pass(1)
  t.not(await source.token(new TestLife()), old)
})

test.serial('a fetch that hangs delays nobody once the metadata server answers others', async (t) => {
  const source = new IdTokenSource('https://hung.a.run.app', credentials)
  metadata.hang(1)
  const begun = metadata.nextIdentityRequest()
  const first = source.token(new TestLife({timeout: minute}))
  await begun
  const fetches = metadata.identityRequests.length
  const second = source.token(new TestLife({timeout: minute}))
  await pass(1000)
  t.is(metadata.identityRequests.length, fetches, 'the second one waits for the first')
  const third = await source.token(new TestLife({timeout: minute}))
  t.deepEqual([await first, await second], [third, third])
  t.is(metadata.identityRequests.length, fetches + 1)
  t.true(await isBrokenOff())
})

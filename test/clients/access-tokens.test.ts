import {getEventListeners} from 'node:events'
import {Storage} from '@google-cloud/storage'
import test from 'ava'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {startStorage} from '../../local/storage/server.ts'
import {KeptConnections} from '../../src/clients/storage/connections.ts'
import {getObject, textOf} from '../../src/clients/storage/request.ts'
import {Fault} from '../../src/core/fault.ts'
import {latenessOf} from '../../src/core/waiting.ts'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {runningTimers} from '../helpers/timers.ts'
import {faultOf, reasonOf} from './life.ts'
import {runtimeOf} from './runtime.ts'

const metadata = await startMetadataServer()
const server = await startStorage()
await server.put('b', 'o', 'content')
const {credentials} = runtimeOf(metadata.env)

// An attempt to get a token has a timeout of three seconds; here it is a tenth of that.
const {timeout} = AbortSignal
AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 10)

/** The library as on Cloud Run, except for the address of Storage. */
const storage = new Storage({
  apiEndpoint: server.url,
  useAuthWithCustomEndpoint: true,
  projectId: 'p',
  authClient: await (await credentials()).client(),
})
const connections = new KeptConnections()
const name = {bucket: 'b', object: 'o'}
const query = new URLSearchParams({alt: 'media'})

async function read(signal: AbortSignal): Promise<string> {
  const source = {storage, emulator: undefined, connections, stall: 10_000}
  return textOf(await getObject(signal, source, {name, query, fresh: false}), source.stall)
}

/** Resolves when the metadata server has a request that it does not answer. */
async function hanging(): Promise<void> {
  while (metadata.openRequests() === 0) await new Promise(setImmediate)
}

let end: AbortController
test.beforeEach(() => {
  end = new AbortController()
})
test.afterEach.always(async (t) => {
  metadata.recover()
  await Promise.all([metadata.idle(), server.idle()])
  t.is(getEventListeners(end.signal, 'abort').length, 0)
  t.deepEqual(runningTimers(), [])
})
test.after.always(() => Promise.all([metadata.close(), server.close()]))

test.serial('a metadata server that fails is UNAVAILABLE, and the next request tries again', async (t) => {
  metadata.fail(500, 3)
  const fault = await faultOf(t, read(end.signal))
  t.is(fault.code, 'UNAVAILABLE')
  t.is(httpStatusOf(fault), 503)
  t.is(reasonOf(fault), 'ACCESS_TOKEN_UNAVAILABLE')
  t.is(fault.message, 'No access token to be had for Storage')
  t.is(server.requests.length, 0)
  // A token that expires at once, so that later tests find none in the cache.
  metadata.lifetimeSeconds = 1
  t.is(await read(end.signal), 'content')
  t.is(latenessOf(end.signal), undefined)
})

test.serial('a caller who hangs up while a token is fetched is released, and Storage is not called', async (t) => {
  metadata.hang()
  const requests = server.requests.length
  const reason = new Fault('CANCELLED', 'The caller hung up')
  const answer = read(end.signal)
  await hanging()
  const late = latenessOf(end.signal)
  t.is(httpStatusOf(late!), 504)
  t.is(late?.message, 'No access token for Storage in time')
  t.is(reasonOf(late!), 'ACCESS_TOKEN_UNAVAILABLE')
  end.abort(reason)
  t.is(await faultOf(t, answer), reason)
  t.is(server.requests.length, requests)
})

test.serial('a metadata server that hangs is an error in the end, and the next request tries again', async (t) => {
  metadata.hang(3)
  t.is((await faultOf(t, read(end.signal))).code, 'UNAVAILABLE')
  metadata.lifetimeSeconds = 3600
  // A token request without an answer is repeated.
  metadata.hang(1)
  t.is(await read(end.signal), 'content')
})

test.serial('Storage gets the token, which is cached', async (t) => {
  await read(end.signal)
  await read(end.signal)
  const [first, second] = server.requests.slice(-2).map(({headers}) => headers.authorization)
  t.regex(first ?? '', /^Bearer ya29\.local-\d+$/)
  t.is(second, first)
})

import {join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import test from 'ava'
import {
  freeze,
  startFaultServer,
  startLocal,
  startMetadataServer,
  startProxy,
  startStorage,
  thaw,
} from '../../local/index.ts'

/** After this much silence on a connection, in ms, its peer is pinged before the next call. */
const silence = 300

const root = join(import.meta.dirname, '../..')

test("a project's own tests can break the connection to a server, calls, tokens and Storage", async (t) => {
  await using server = await startFaultServer({methods: {'/Repo/CreateRepo': () => [new Uint8Array()]}})
  await using proxy = await startProxy({target: () => server.port})
  const metadata = await startMetadataServer()
  t.teardown(() => metadata.close())
  await using storage = await startStorage()
  await storage.put('samples', 'o', 'content')
  await using local = await startLocal({
    root,
    target: 'app',
    env: {
      BACKEND_URL: proxy.url,
      BACKEND_AUDIENCE: proxy.url,
      GCE_METADATA_HOST: metadata.host,
      GOOGLE_APPLICATION_CREDENTIALS: '',
      STORAGE_EMULATOR_HOST: storage.url,
      LOG_LEVEL: 'silent',
    },
  })
  const ping = async (deadline = '20') => {
    const response = await fetch(`${local.url}/ping?message=hi`, {headers: {'x-server-timeout': deadline}})
    const answer = (await response.json()) as {error?: {details: {reason: string}[]}}
    return [response.status, answer.error?.details[0]?.reason]
  }
  const {process} = local.functions
  metadata.fail(503)
  t.deepEqual(await ping(), [503, 'ID_TOKEN_UNAVAILABLE'])
  metadata.hang()
  t.deepEqual(await ping('0.5'), [504, 'ID_TOKEN_UNAVAILABLE'])
  metadata.recover()
  metadata.lifetimeSeconds = 60
  t.is((await ping())[0], 200)
  // The cached token is still valid, so nobody waits for the metadata server.
  metadata.hang()
  t.is((await ping())[0], 200)
  server.next({kind: 'refuse'}, {kind: 'http', status: 503})
  t.deepEqual(await ping(), [503, 'BACKEND_UNAVAILABLE'])
  await freeze(process)
  proxy.reset()
  // After a longer silence on a connection its peer is pinged before the call; after a shorter silence a reset is reported as an
  // error.
  await pause(silence)
  const answer = ping()
  await thaw(process)
  t.is((await answer)[0], 200)
  storage.fault({cutAt: 3})
  storage.fault({status: 503, kind: 'metadata'})
  const body = JSON.stringify({bucket: 'samples', object: 'o', context: {creatorId: 'me', name: 'it'}})
  const upload = {method: 'POST', headers: {'content-type': 'application/json'}, body}
  server.next({kind: 'status', code: 14, message: 'not now'})
  t.is((await fetch(`${local.url}/upload`, upload)).status, 503)
  t.deepEqual(server.doubles, [])
})

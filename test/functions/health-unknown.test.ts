import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {type App, startApp} from '../helpers/app.ts'

let app: App
const bare = await startBackend({healthService: false})
test.before(async () => {
  app = await startApp({target: 'health', env: {BACKEND_URL_REPO: bare.url}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => Promise.all([app.close(), bare.close()]))

const unknown = {
  url: bare.url,
  status: 'UNKNOWN',
  note: 'it answers, and has no grpc.health.v1.Health',
}

test.serial('a backend without grpc.health.v1 is reachable: 200, with the state UNKNOWN, and the reason', async (t) => {
  const {status, json} = await app.ask(t, '/')
  t.is(status, 200)
  t.is(json.status, 'UNKNOWN')
  t.deepEqual(
    json.backends.toSorted((a: {url: string}) => (a.url === bare.url ? 1 : -1)),
    [{url: app.backend.url, status: 'SERVING'}, unknown],
  )
})

test.serial('if another backend fails it is 503 all the same, and names only that one', async (t) => {
  app.backend.health.set('', 'NOT_SERVING')
  const {status, json} = await app.ask(t, '/')
  app.backend.health.set('', 'SERVING')
  t.is(status, 503)
  t.is(json.status, 'NOT_SERVING')
  t.is(json.error.message, `${app.backend.url} is NOT_SERVING`)
  t.deepEqual(json.backends, [{url: app.backend.url, status: 'NOT_SERVING'}, unknown])
})

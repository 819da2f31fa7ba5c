import {status} from '@grpc/grpc-js'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {Health} from '../../src/gen/health/v1/health_pb.js'
import {type App, startApp} from '../helpers/app.ts'
import {HeldService} from './gateway-services.ts'

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

let code = status.OK
const strict = new HeldService(Health, {
  check: () => {
    throw new StatusError(code, 'Not for you')
  },
})

test.serial('a backend that answers without its state is reachable, any other error is 503', async (t) => {
  const backend = await startBackend({healthService: false, services: [strict]})
  const {url} = backend
  const other = await startApp({target: 'health', env: {BACKEND_URL: url, BACKEND_AUDIENCE: 'none'}})
  t.teardown(() => Promise.all([other.close(), backend.close()]))
  for (const [given, note] of [
    [status.NOT_FOUND, 'it answers, and its grpc.health.v1.Health knows no status of the whole server'],
    [status.UNAUTHENTICATED, 'it answers, and requires credentials for grpc.health.v1.Health.Check'],
    [status.PERMISSION_DENIED, 'it answers, and does not allow grpc.health.v1.Health.Check'],
  ] as const) {
    code = given
    const call = strict.next()
    const answer = await other.ask(t, '/')
    t.is(answer.status, 200)
    t.true(Number((await call).context.deadline) - Date.now() <= 5000, 'a probe does not wait for longer')
    t.deepEqual(answer.json, {status: 'UNKNOWN', backends: [{url, status: 'UNKNOWN', note}]})
  }
  for (const given of [status.INTERNAL, status.UNAVAILABLE, status.RESOURCE_EXHAUSTED]) {
    code = given
    t.is((await other.ask(t, '/')).status, 503, status[given])
  }
})

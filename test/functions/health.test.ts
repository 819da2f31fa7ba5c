import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'

let app: App
test.before(async () => {
  app = await startApp({target: 'health'})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('200 with the state that each backend reports', async (t) => {
  const answer = await app.ask(t, '/')
  t.is(answer.status, 200)
  t.deepEqual(answer.json, {status: 'SERVING', backends: [{url: app.backend.url, status: 'SERVING'}]})
})

test.serial('503 with the backend that fails, and why', async (t) => {
  app.backend.health.set('', 'NOT_SERVING')
  const answer = await app.ask(t, '/')
  app.backend.health.set('', 'SERVING')
  t.is(answer.status, 503)
  t.is(answer.json.error.message, `${app.backend.url} is NOT_SERVING`)
})

test.serial('503 if no ID token can be fetched', async (t) => {
  const {log, idTokens} = app.runtime
  const source = idTokens.for(app.backend.url)
  source.forget(await source.token({signal: AbortSignal.timeout(10_000), deadline: Date.now() + 10_000, log}))
  app.metadata.fail(404, 1)
  const answer = await app.ask(t, '/')
  t.is(answer.status, 503)
  t.regex(answer.json.error.message, /is UNAVAILABLE: Cannot get an ID token/)
})

test.serial('503 within 5 s from a backend that never answers', async (t) => {
  app.backend.health.silence()
  const answer = await app.ask(t, '/')
  app.backend.health.silence(false)
  t.is(answer.status, 503)
  t.regex(answer.json.error.message, /is DEADLINE_EXCEEDED/)
})

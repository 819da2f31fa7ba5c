import test from 'ava'
import {type Logger, pino} from 'pino'
import {type App, startApp} from '../helpers/app.ts'

const lines: string[] = []
const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger

let app: App
test.before(async () => {
  app = await startApp({target: 'health', log})
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
  const {backends} = answer.json
  t.deepEqual(backends, [{url: app.backend.url, status: 'NOT_SERVING'}])
  t.like(JSON.parse(lines.at(-1)!), {httpRequest: {status: 503}, backends}, 'its record has the states too')
})

test.serial('503 if no ID token can be fetched', async (t) => {
  const {log, idTokens} = app.runtime
  const source = idTokens.for(app.backend.url)
  source.forget(await source.token({signal: AbortSignal.timeout(10_000), deadline: Date.now() + 10_000, log}))
  app.metadata.fail(404, 1)
  const answer = await app.ask(t, '/')
  t.is(answer.status, 503)
  t.regex(answer.json.error.message, /is UNAVAILABLE: Cannot get an ID token/)
  const hint = `the audience is "${app.backend.url}"`
  const message = `${app.backend.url}: Cannot get an ID token for the backend (${hint})`
  t.like(JSON.parse(lines.at(-2)!), {level: 40, message, hint, err: {status: 404}})
})

test.serial('503 within 5 s from a backend that never answers', async (t) => {
  app.backend.health.silence()
  const answer = await app.ask(t, '/')
  app.backend.health.silence(false)
  t.is(answer.status, 503)
  t.regex(answer.json.error.message, /is DEADLINE_EXCEEDED/)
})

import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'
import {exchange, open} from './gateway-client.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('ping has bindings too, with the same IAM check as the function', async (t) => {
  t.is((await app.ask(t, '/api/ping?message=hi')).json.pong.message, 'hi')
  t.is((await app.ask(t, '/api/ping:upstream?message=up')).json.pong.message, 'up')
  t.is((await app.ask(t, '/ping?message=hi')).json.pong.message, 'hi')
})

test.serial('Repo.CreateRepo is a client stream of JSON, in addition to the upload function', async (t) => {
  const lines = ['{"context":{"creatorId":"me","name":"it"}}', '{"data":"aGVsbG8="}', '{"data":"IQ=="}']
  const response = await exchange(app.url(''), {method: 'POST', path: '/api/repos', body: lines.join('\n')})
  const {id} = app.backend.repo.repos.at(-1) ?? {}
  t.deepEqual(response.json, {repo: {id, name: 'it', url: 'https://git.example.com/me/it'}, size: 6})
})

test.serial("a message with neither context nor data is Repo's own INVALID_ARGUMENT", async (t) => {
  for (const lines of ['{}', '{"context":{"creatorId":"me","name":"it"}}\n{}']) {
    const {status, json} = await exchange(app.url(''), {method: 'POST', path: '/api/repos', body: lines})
    t.is(status, 400)
    t.like(json.error, {status: 'INVALID_ARGUMENT', message: "Message doesn't contain context or data"})
  }
})

test.serial('a caller that hangs up in the middle of a client stream commits nothing', async (t) => {
  const repos = app.backend.repo.repos.length
  const next = app.backend.repo.next()
  await using request = await open(app.url(''), {method: 'POST', path: '/api/repos'})
  request.write('{"context":{"creatorId":"me","name":"it"}}{"data":"aGVsbG8="}')
  const call = await next
  await call.received(5)
  request.connection.socket.destroy()
  await call.cancelled
  await call.over
  t.is(app.backend.repo.repos.length, repos)
})

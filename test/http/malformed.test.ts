import test from 'ava'
import {json} from '../../src/http/reply.ts'
import {type App, startApp} from '../helpers/app.ts'
import {connectTo} from './connection.ts'

let app: App
test.before(async () => {
  app = await startApp({target: 'ping'})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

for (const line of ['GET / nonsense', 'GET /\x80 HTTP/1.1', 'GET / HTTP/1.1\nBad Header: x']) {
  test.serial(`${JSON.stringify(line)} is answered with 400 in the shape of every failure`, async (t) => {
    const {url} = await app.serve(() => json({all: 'well'}))
    await using first = await connectTo(url)
    first.get('/')
    t.is((await first.response()).status, 200)
    await using connection = await connectTo(url)
    connection.send(`${line}\n\n`)
    const response = await connection.response()
    t.is(response.status, 400)
    t.is(response.json.error.status, 'INVALID_ARGUMENT')
    await connection.closed
    t.is(connection.rest, '')
  })
}

test.serial('a body that proves malformed after the answer has left gets no second one', async (t) => {
  const {url} = await app.serve(() => json({all: 'well'}))
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\n')
  t.is((await connection.response()).text, '{"all":"well"}')
  connection.send('this is no chunk\n')
  await connection.closed
  t.is(connection.rest, '')
})

test.serial('a body that proves malformed before the answer is answered with 400, once', async (t) => {
  const {url} = await app.serve(async (scope) => ({body: await scope.bytes()}))
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\nthis is no chunk\n')
  const response = await connection.response()
  t.is(response.status, 400)
  await connection.closed
  t.is(connection.rest, '')
})

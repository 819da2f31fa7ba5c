import test from 'ava'
import {json} from '../../src/http/reply.ts'
import type {Handler} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {askOnce, isFault} from './answers.ts'
import {connectTo} from './connection.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const chunk = `8000\n${'x'.repeat(0x8000)}\n`

/** How much of a body is read, and what it then is answered with. */
const unread: Readonly<Record<string, {head: string; body: string; status: number; read: Handler}>> = {
  'too long by its length': {
    head: 'Content-Length: 2000000',
    body: 'x'.repeat(2_000_000),
    status: 413,
    read: async (scope) => json((await scope.bytes()).length),
  },
  'too long in the end': {
    head: 'Transfer-Encoding: chunked',
    body: `${chunk.repeat(60)}0\n\n`,
    status: 413,
    read: async (scope) => json((await scope.bytes()).length),
  },
  'too long for a limit of its own': {
    head: 'Transfer-Encoding: chunked',
    body: '5\n12345\n6\n678901\n0\n\n',
    status: 413,
    read: async (scope) => json((await scope.bytes(10)).length),
  },
  compressed: {
    head: 'Content-Encoding: gzip\nContent-Length: 3',
    body: 'abc',
    status: 415,
    read: async (scope) => json((await scope.bytes()).length),
  },
  'not wanted': {head: 'Content-Length: 300000', body: 'x'.repeat(300_000), status: 200, read: () => ({})},
  'left after its first piece': {
    head: 'Content-Length: 300000',
    body: 'x'.repeat(300_000),
    status: 200,
    read: async (scope) => {
      for await (const _ of scope.body) break
      return {}
    },
  },
  'left before its second piece has come': {
    head: 'Content-Length: 300000',
    body: 'x'.repeat(300_000),
    status: 200,
    read: async (scope) => {
      const pieces = scope.body[Symbol.asyncIterator]()
      pieces.next()
      pieces.next().catch(() => {})
      return {}
    },
  },
  'refused before it is read': {
    head: 'x-server-timeout: soon\nContent-Length: 300000',
    body: 'x'.repeat(300_000),
    status: 400,
    read: () => ({}),
  },
}

for (const [title, {head, body, status, read}] of Object.entries(unread)) {
  test.serial(`after a body that is ${title} (${status}) the connection serves on`, async (t) => {
    const {url} = await app.serve((scope) => (scope.path === '/well' ? json({all: 'well'}) : read(scope)))
    await using connection = await connectTo(url)
    connection.send(`POST / HTTP/1.1\nHost: test\n${head}\n\n${body}`)
    const response = await connection.response()
    t.is(response.status, status)
    if (status >= 400) isFault(t, response, status, 'INVALID_ARGUMENT')
    t.is((await askOnce(t, connection, '/well')).status, 200)
  })
}

test.serial('a body that is as long as the limit is read, with a length and without', async (t) => {
  const {url} = await app.serve(async (scope) => json({length: (await scope.bytes(10)).length}))
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nContent-Length: 10\n\n0123456789')
  t.deepEqual((await connection.response()).json, {length: 10})
  connection.send('POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\na\n0123456789\n0\n\n')
  t.deepEqual((await connection.response()).json, {length: 10})
})

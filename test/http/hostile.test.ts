import '../helpers/timers.ts'
import {once} from 'node:events'
import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'
import {type Connection, connectTo} from './connection.ts'

let app: App
let url: string
test.before(async () => {
  app = await startApp()
  url = app.url('')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const upload =
  'POST /upload?creatorId=me&name=slow HTTP/1.1\nHost: localhost\nContent-Type: a/b\nContent-Length: 100\n\n'

async function isWell(): Promise<boolean> {
  const response = await fetch(`${url}/ping?message=well`)
  return response.status === 200 && (await response.text()).includes('well')
}

async function close(connections: readonly Connection[]): Promise<void> {
  await Promise.all(connections.map((connection) => connection[Symbol.asyncDispose]()))
}

test.serial(
  'callers who send one byte at a time keep nobody waiting, and cause one call each at the most',
  async (t) => {
    const slow = await Promise.all(Array.from({length: 30}, () => connectTo(url)))
    const text = `${upload}${'a'.repeat(100)}`.replaceAll('\n', '\r\n')
    // Some are in the middle of their head, some of their body.
    for (const [index, connection] of slow.entries()) connection.socket.write(text.slice(0, index * 6))
    for (let sent = 0; sent < 20; sent++) {
      for (const [index, {socket}] of slow.entries()) socket.write(text.charAt(index * 6 + sent))
      t.true(await isWell())
    }
    t.true(app.backend.openCalls() <= 30)
    await close(slow)
    await app.backend.idle()
    t.deepEqual(app.backend.repo.repos, [])
  },
)

test.serial(
  'a caller who reads one byte at a time is sent no more than it reads, and keeps nobody waiting',
  async (t) => {
    const piece = Buffer.alloc(64 * 1024)
    let made = 0
    const served = await app.serve(() => ({
      headers: {'content-type': 'a/b'},
      body: (async function* () {
        for (; made < 1000; made++) yield piece
      })(),
    }))
    await using slow = await connectTo(served.url)
    slow.socket.removeAllListeners('data').pause()
    slow.get('/')
    // Only as much is produced as the kernel buffers.
    for (let last = -1, same = 0; same < 20; same = made === last ? same + 1 : 0, last = made) {
      slow.socket.read(1)
      t.true(await isWell())
    }
    t.true(made < 500, `${made}`)
    slow.socket.destroy()
    await served.close()
  },
)

test.serial('a hang-up at any byte of an upload stores nothing, and leaves nothing behind', async (t) => {
  const text = `${upload}${'a'.repeat(100)}`.replaceAll('\n', '\r\n')
  for (let sent = 1; sent < text.length; sent += 5) {
    const connection = await connectTo(url)
    connection.socket.write(text.slice(0, sent))
    if (sent % 2) connection.socket.resetAndDestroy()
    else connection.socket.destroy()
  }
  t.true(await isWell())
  await app.backend.idle()
  t.deepEqual(app.backend.repo.repos, [])
})

test.serial('each request of a pipeline gets its own answer, in order', async (t) => {
  await using connection = await connectTo(url)
  const ids = Array.from({length: 50}, (_, index) => `pipelined-${index}`)
  const request = (id: string) => `GET /ping?message=${id} HTTP/1.1\nHost: localhost\nX-Request-Id: ${id}\n\n`
  connection.send(ids.map(request).join(''))
  for (const id of ids) {
    const {status, headers, json} = await connection.response()
    t.deepEqual([status, headers.get('x-request-id'), json.pong.message], [200, id, id])
  }
})

test.serial('a caller who half-closes gets its answer, or counts as gone', async (t) => {
  const held = app.backend.ping.next()
  await using connection = await connectTo(url)
  connection.send('GET /ping?message=half HTTP/1.1\nHost: localhost\n\n')
  const call = await held
  connection.socket.end()
  await Promise.race([call.cancelled, once(connection.socket, 'close')])
  call.answer()
  await connection.closed
  t.true(connection.rest === '' || connection.rest.startsWith('HTTP/1.1 200 '))
})

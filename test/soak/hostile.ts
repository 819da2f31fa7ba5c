import {once} from 'node:events'
import {setTimeout as pause} from 'node:timers/promises'
import {type Connection, connectTo} from '../http/connection.ts'
import type {Findings} from './findings.ts'
import type {Random} from './random.ts'
import {mostBody} from './world.ts'

/** The tools of a hostile caller. */
export interface Hostile {
  readonly url: string
  readonly random: Random
  readonly findings: Findings
  /** A new id, for `x-request-id`. */
  readonly id: () => string
  /** Reports a request that got no answer. */
  readonly unanswered: (id: string, act: string) => void
}

type Act = (connection: Connection, hostile: Hostile) => Promise<void>

/** The acts of malicious callers, or of callers with a bad network. */
export const acts: Readonly<Record<string, Act>> = {
  'a head byte by byte': async (connection, {random}) => {
    await byteByByte(connection, 'GET /ping?message=slow HTTP/1.1\r\nHost: localhost\r\nX-Long: aaaaaaaaaaaaaa', random)
  },
  'a body byte by byte': async (connection, {random}) => {
    connection.send(head('POST', '/real/once', random, {'content-length': '200'}))
    await byteByByte(connection, `{"text": "${'a'.repeat(100)}`, random)
  },
  'an upload byte by byte': async (connection, {random, id}) => {
    connection.send(head('POST', `/upload?creatorId=slow&name=${id()}`, random, {'content-length': '100000'}))
    await byteByByte(connection, 'a'.repeat(random.int(1, 200)), random)
  },
  'an answer that is not read': async (connection, {random}) => {
    connection.socket.pause()
    connection.send(head('GET', '/real/down?text=unread&count=5000&filler=aaaaaaaaaaaaaaaaaaaaaaaaaaaaa', random))
    await pause(random.size(50, 4000))
  },
  'an answer read byte by byte': async ({socket}, {random}) => {
    socket.removeAllListeners('data')
    socket.pause()
    socket.write('GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const until = Date.now() + random.size(50, 4000)
    while (Date.now() < until && !socket.destroyed) {
      socket.read(1)
      await pause(20)
    }
  },
  'a half-closed socket': async (connection, hostile) => {
    const id = hostile.id()
    connection.send(head('GET', `/ping?message=${id}`, hostile.random, {'x-request-id': id}))
    connection.socket.end()
    await expectAnswers(connection, hostile, [id], 'a half-closed socket')
  },
  'a hang-up in a request': async (connection, {random, id}) => {
    const body = `{"text": "${'b'.repeat(random.size(1, 3000))}"}`
    const target = random.pick([
      '/real/once',
      '/sharp/once',
      '/real/up',
      '/sharp/up',
      '/real/both',
      `/upload?creatorId=a&name=${id()}`,
    ])
    const text = head('POST', target, random, {'content-length': String(body.length)}) + body
    connection.send(text.slice(0, random.int(1, text.length - 1)))
    await pause(random.size(1, 300))
    hangUp(connection, random)
  },
  'a hang-up in an answer': async (connection, {random}) => {
    const target = random.pick([
      '/real/down?text=gone&count=2000',
      '/sharp/down?text=gone',
      '/ping?message=gone',
      '/health',
      '/openapi.json',
    ])
    connection.send(head('GET', target, random))
    if (random.chance(0.7))
      await Promise.race([once(connection.socket, 'data').catch(() => {}), connection.closed, pause(2000)])
    hangUp(connection, random)
  },
  'a pipeline': async (connection, hostile) => {
    const {random} = hostile
    const ids = Array.from({length: random.int(2, 8)}, hostile.id)
    const paths = ids.map((id) =>
      random.pick([`/ping?message=${id}`, `/sharp/once?text=${id}`, '/nowhere', `/real/look?text=${id}`]),
    )
    connection.send(ids.map((id, index) => head('GET', paths[index]!, random, {'x-request-id': id})).join(''))
    await expectAnswers(connection, hostile, ids, 'a pipeline')
  },
  'a pipeline that nobody waits for': async (connection, {random}) => {
    connection.send(head('GET', '/real/down?text=gone&count=500', random).repeat(random.int(2, 30)))
    await pause(random.size(1, 300))
    hangUp(connection, random)
  },
  'a body above the limit': async (connection, hostile) => {
    const {random} = hostile
    const id = hostile.id()
    const length = mostBody * random.int(2, 200)
    const announced = random.chance(0.5)
    const framing: Record<string, string> = announced
      ? {'content-length': String(length)}
      : {'transfer-encoding': 'chunked'}
    connection.send(head('POST', '/real/once', random, {...framing, 'x-request-id': id}))
    void flood(connection, announced ? length : undefined)
    await expectAnswers(connection, hostile, [id], 'a body above the limit')
  },
  'no HTTP': async (connection, {random}) => {
    connection.send(
      random.pick([
        '\0\0\0',
        'GET\n\n',
        'PRI * HTTP/2.0\n\nSM\n\n',
        '\x16\x03\x01\x02\0\x01\0',
        'GET / HTTP/1.1\nHost: a\nHost: b\n\n',
      ]),
    )
    await Promise.race([connection.closed, pause(1000)])
  },
  'nothing at all': async (_connection, {random}) => {
    await pause(random.size(10, 3000))
  },
}

/** Does one of the acts, on a new connection. */
export async function actHostile(name: string, hostile: Hostile): Promise<void> {
  let connection: Connection
  try {
    connection = await connectTo(hostile.url)
  } catch {
    return
  }
  try {
    await acts[name]!(connection, hostile)
  } finally {
    connection.socket.destroy()
  }
}

function head(method: string, path: string, random: Random, headers: Readonly<Record<string, string>> = {}): string {
  const all = {host: 'localhost', ...(method === 'POST' && {'content-type': typeFor(path)}), ...headers}
  const lines = Object.entries(all).map(
    ([name, value]) => `${random.chance(0.5) ? name : name.toUpperCase()}: ${value}`,
  )
  return [`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n')
}

function typeFor(path: string): string {
  return path.startsWith('/upload') ? 'application/octet-stream' : 'application/json'
}

async function byteByByte({socket}: Connection, text: string, random: Random): Promise<void> {
  const every = random.pick([1, 20, 100])
  const until = Date.now() + random.size(100, 5000)
  for (const byte of text) {
    if (socket.destroyed || Date.now() > until) return
    socket.write(byte)
    await pause(every)
  }
}

function hangUp({socket}: Connection, random: Random): void {
  if (random.chance(0.5)) socket.resetAndDestroy()
  else socket.destroy()
}

/** Sends more than any server reads. */
async function flood({socket}: Connection, length = 200 * mostBody): Promise<void> {
  const piece = Buffer.alloc(64 * 1024, ' ')
  const chunk = Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
  for (let sent = 0; sent < length && socket.writable; sent += piece.length) {
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain').catch(() => {}), once(socket, 'close')])
  }
}

/** Expects one complete answer for each of `ids`, in order. There may be fewer only if the connection announces its end. */
async function expectAnswers(
  connection: Connection,
  hostile: Hostile,
  ids: readonly string[],
  act: string,
): Promise<void> {
  const {findings, unanswered} = hostile
  const late = Symbol('late')
  for (const id of ids) {
    const answer = await Promise.race([
      connection.response().catch((error: Error) => error),
      pause(40_000, late, {ref: false}),
    ])
    if (answer === late) return findings.add(`${act}: no answer in time`, id)
    if (answer instanceof Error) {
      // As in Go's server, a caller who half-closes may count as gone.
      unanswered(id, act)
      return
    }
    const {headers, status, whole} = answer as Awaited<ReturnType<Connection['response']>>
    if (headers.get('x-request-id') !== id)
      return findings.add(`${act}: answers out of order`, `${id}, status ${status}`)
    if (!whole) return findings.add(`${act}: an answer was cut`, `${id}, status ${status}`)
    if (headers.get('connection') === 'close') return
  }
}

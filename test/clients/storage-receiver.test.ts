import '../helpers/node-roots.ts'
import {randomBytes} from 'node:crypto'
import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import {createServer as createHttp, type RequestListener, type Server} from 'node:http'
import {createServer as createHttps} from 'node:https'
import type {AddressInfo, Socket} from 'node:net'
import {getCACertificates, setDefaultCACertificates} from 'node:tls'
import test, {type ExecutionContext} from 'ava'
import {Crc32c} from '../../src/clients/storage/crc32c.ts'
import {certificateFor} from '../helpers/certificate.ts'
import {runningTimers} from '../helpers/timers.ts'
import {runtimeOf} from './runtime.ts'

// Large bodies are read past Node's HTTP client, by TCP and by TLS: its records keep coming after a reader has stopped.

const bytes = randomBytes(5_000_001)
const crc = new Crc32c()
crc.update(bytes)
const version = {bucket: 'b', object: 'o', generation: '1', size: bytes.length, crc32c: crc.toString()}
const certificate = certificateFor('localhost')
setDefaultCACertificates([...getCACertificates(), certificate.cert])

const whole: RequestListener = (_, response) => {
  response.setHeader('content-length', bytes.length)
  response.end(bytes)
}

interface Started {
  readonly storage: ReturnType<typeof runtimeOf>['storage']
  /** The connections of our side. */
  readonly sockets: Socket[]
}

/** Reads from a server that answers so, by each scheme. */
function testBoth(
  title: string,
  answer: () => RequestListener,
  work: (t: ExecutionContext, started: Started) => Promise<void>,
) {
  for (const scheme of ['http', 'https'] as const) {
    test.serial(`${scheme}: ${title}`, async (t) => {
      const server = (scheme === 'http' ? createHttp(answer()) : createHttps(certificate, answer())) as Server
      await new Promise<void>((resolve) => server.listen(0, resolve))
      const sockets: Socket[] = []
      const listen = (message: unknown) => sockets.push((message as {socket: Socket}).socket)
      const url = `${scheme}://localhost:${(server.address() as AddressInfo).port}`
      const {storage, close} = runtimeOf({STORAGE_EMULATOR_HOST: url, STORAGE_STALL_SECONDS: '1'})
      subscribe('net.client.socket', listen)
      try {
        await work(t, {storage, sockets})
      } finally {
        unsubscribe('net.client.socket', listen)
        close()
        const closed = new Promise((resolve) => server.close(resolve))
        server.closeAllConnections()
        await closed
      }
      t.deepEqual(runningTimers(), [])
    })
  }
}

const {signal} = new AbortController()

testBoth(
  'a slow reader gets each byte once, and a piece stays as it is until the next',
  () => whole,
  async (t, {storage}) => {
    let at = 0
    for await (const piece of storage.readReusing(signal, version)) {
      // More arrives in the meantime.
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
      if (!piece.equals(bytes.subarray(at, at + piece.length))) return t.fail(`Other bytes from ${at}`)
      at += piece.length
    }
    t.is(at, bytes.length)
  },
)

testBoth(
  'the pieces of read() stay as they are',
  () => whole,
  async (t, {storage}) => {
    t.true(bytes.equals(Buffer.concat(await Array.fromAsync(storage.read(signal, version)))))
  },
)

testBoth(
  'a large body ends its connection',
  () => whole,
  async (t, {storage, sockets}) => {
    for (let time = 0; time < 2; time++) {
      for await (const _ of storage.readReusing(signal, version)) {
      }
    }
    t.is(sockets.length, 2)
    for (let turn = 0; turn < 1000 && !sockets[1]?.destroyed; turn++) await new Promise(setImmediate)
    t.deepEqual(
      sockets.map(({destroyed}) => destroyed),
      [true, true],
    )
  },
)

testBoth(
  'twenty reads at a time all arrive whole',
  () => whole,
  async (t, {storage}) => {
    const sums = await Promise.all(
      Array.from({length: 20}, async () => {
        const sum = new Crc32c()
        for await (const piece of storage.readReusing(signal, version)) sum.update(piece)
        return sum.toString()
      }),
    )
    t.deepEqual(new Set(sums), new Set([version.crc32c]))
  },
)

testBoth(
  'bytes after the body are not taken for a part of it',
  () => (_, response) => {
    response.setHeader('content-length', bytes.length)
    response.end(bytes)
    response.socket?.write('HTTP/1.1 200 OK\r\n\r\n')
  },
  async (t, {storage}) => {
    t.true(bytes.equals(Buffer.concat(await Array.fromAsync(storage.read(signal, version)))))
  },
)

testBoth(
  'a body without a length is read by the HTTP client',
  () => (_, response) => {
    response.flushHeaders()
    response.end(bytes.subarray(0, 3_000_000))
  },
  async (t, {storage}) => {
    const part = {...version, size: 3_000_000}
    t.true(bytes.subarray(0, 3_000_000).equals(Buffer.concat(await Array.fromAsync(storage.read(signal, part)))))
  },
)

testBoth(
  'a connection that breaks is read on from there',
  () => {
    let requests = 0
    return (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0)
      if (from > 0)
        response.writeHead(206, {
          'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
          'content-length': bytes.length - from,
        })
      else response.setHeader('content-length', bytes.length)
      if (++requests > 2) response.end(bytes.subarray(from))
      else response.write(bytes.subarray(from, from + 1_500_000), () => response.destroy())
    }
  },
  async (t, {storage}) => {
    t.true(bytes.equals(Buffer.concat(await Array.fromAsync(storage.read(signal, version)))))
  },
)

testBoth(
  'a caller who hangs up while bytes are awaited ends the read',
  () => (_, response) => {
    response.setHeader('content-length', bytes.length)
    response.write(bytes.subarray(0, 2_000_000))
  },
  async (t, {storage, sockets}) => {
    const end = new AbortController()
    const reason = new Error('The caller hung up')
    let got = 0
    const error = await t.throwsAsync(async () => {
      for await (const piece of storage.readReusing(end.signal, version)) {
        got += piece.length
        if (got === 2_000_000) setImmediate(() => end.abort(reason))
      }
    })
    t.is(error, reason)
    t.is(got, 2_000_000)
    for (let turn = 0; turn < 1000 && !sockets[0]?.destroyed; turn++) await new Promise(setImmediate)
    t.true(sockets[0]?.destroyed)
  },
)

testBoth(
  'a reader who stops early ends the connection',
  () => whole,
  async (t, {storage, sockets}) => {
    for await (const _ of storage.readReusing(signal, version)) break
    for (let turn = 0; turn < 1000 && !sockets[0]?.destroyed; turn++) await new Promise(setImmediate)
    t.true(sockets[0]?.destroyed)
  },
)

// The clock stands still unless a test moves it, so that the speed of the machine does not matter.
const start = Date.now()
let now = start
Date.now = () => now

import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import type {Socket} from 'node:net'
import test from 'ava'
import {startStorage} from '../../local/storage/server.ts'
import {runtimeOf} from './runtime.ts'

const server = await startStorage()
const {storage, close} = runtimeOf({STORAGE_EMULATOR_HOST: server.url})
await server.put('b', 'o', Buffer.alloc(100_000))
test.after.always(async () => {
  close()
  await server.close()
})

/** Collects our client sockets that are opened from now on. */
function opened() {
  const sockets: Socket[] = []
  const listen = (message: unknown) => sockets.push((message as {socket: Socket}).socket)
  subscribe('net.client.socket', listen)
  return Object.assign(sockets, {[Symbol.dispose]: () => void unsubscribe('net.client.socket', listen)})
}

async function read(): Promise<void> {
  const {signal} = new AbortController()
  let bytes = 0
  for await (const piece of storage.read(signal, await storage.versionOf(signal, {bucket: 'b', object: 'o'}))) {
    bytes += piece.length
  }
  if (bytes !== 100_000) throw new Error(`${bytes} bytes`)
}

/** The number of open sockets, after all that are going to close have closed. */
async function openOf(sockets: readonly Socket[], expected: number): Promise<number> {
  const open = () => sockets.filter(({destroyed}) => !destroyed).length
  for (let turns = 0; turns < 1000 && open() > expected; turns++) await new Promise(setImmediate)
  return open()
}

test.serial('connections are reused', async (t) => {
  using sockets = opened()
  for (let time = 0; time < 5; time++) await read()
  t.is(sockets.length, 1)
})

test.serial('one that was idle for more than a second is not: it may have died in a frozen instance', async (t) => {
  using sockets = opened()
  now += 900
  await read()
  t.is(sockets.length, 0)
  now += 1001
  await read()
  t.is(sockets.length, 1)
  // A clock that was set back counts as idle time too.
  now -= 10_000
  await read()
  t.is(sockets.length, 2)
  t.is(await openOf(sockets, 1), 1)
})

test.serial('eight of the connections of a burst are kept', async (t) => {
  using sockets = opened()
  await Promise.all(Array.from({length: 30}, read))
  t.true(sockets.length > 8)
  t.true((await openOf(sockets, 8)) <= 8)
  now += 2000
  await read()
  t.is(await openOf(sockets, 1), 1)
})

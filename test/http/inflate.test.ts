import {gzipSync} from 'node:zlib'
import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {inflated, mostDeflated} from '../../src/http/request/inflate.ts'
import {httpStatusOf} from '../../src/http/response/failure.ts'

const plain = Buffer.alloc(200_000, 'a')
const packed = gzipSync(plain)
const anything = {limit: plain.length, hold: () => {}}

async function statusOf(work: Promise<unknown>): Promise<number> {
  return httpStatusOf(
    await work.then(
      () => new Fault('OK', ''),
      (error) => error as Fault,
    ),
  )
}

test('decompressed data counts as it grows, to its whole size', async (t) => {
  const held: number[] = []
  t.true(plain.equals(await inflated(packed, {limit: plain.length, hold: (bytes) => void held.push(bytes)})))
  t.is(held.at(-1), plain.length)
  t.deepEqual(
    held,
    held.toSorted((a, b) => a - b),
  )
})

test('where there is no room, the rest is not decompressed', async (t) => {
  let calls = 0
  const full = new Fault('RESOURCE_EXHAUSTED', 'No room')
  const hold = () => {
    calls++
    throw full
  }
  t.is(await inflated(packed, {limit: plain.length, hold}).catch((error: unknown) => error), full)
  t.is(calls, 1)
})

test('beyond the limit is 413, and data that is not gzip is 400', async (t) => {
  t.is(await statusOf(inflated(packed, {...anything, limit: plain.length - 1})), 413)
  t.is(await statusOf(inflated(packed, anything)), 200)
  t.is(await statusOf(inflated(Buffer.from('no gzip'), anything)), 400)
  t.is(await statusOf(inflated(packed.subarray(0, -10), anything)), 400, 'it is cut')
})

test('data that gzip makes longer fits into the limit for compressed data', (t) => {
  for (const size of [0, 1, 1000, 100_000]) {
    const random = Buffer.from(Array.from({length: size}, (_, index) => (index * 7919 * (index % 251)) >> 3))
    t.true(gzipSync(random, {level: 0}).length <= mostDeflated(size), String(size))
  }
})

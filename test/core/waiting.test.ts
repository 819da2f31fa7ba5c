import {getEventListeners} from 'node:events'
import test from 'ava'
import {turn, within} from '../../src/core/waiting.ts'

test('work that waits for a turn runs once per turn of the event loop, in order', async (t) => {
  const order: string[] = []
  let others = true
  const other = () => {
    order.push('other')
    if (others) setImmediate(other)
  }
  setImmediate(other)
  const pieces = ['a', 'b', 'c'].map(async (piece) => {
    await turn()
    order.push(piece)
  })
  await Promise.all(pieces)
  others = false
  t.deepEqual(
    order.filter((entry) => entry !== 'other'),
    ['a', 'b', 'c'],
  )
  for (const [first, second] of [
    ['a', 'b'],
    ['b', 'c'],
  ] as const) {
    t.true(order.slice(order.indexOf(first), order.indexOf(second)).includes('other'), order.join())
  }
})

test('waiting with a signal leaves no listener, however the work ends', async (t) => {
  const {signal} = new AbortController()
  t.is(await within(signal, Promise.resolve('done')), 'done')
  await t.throwsAsync(within(signal, Promise.reject(new Error('broken'))), {message: 'broken'})
  await new Promise(setImmediate)
  t.is(getEventListeners(signal, 'abort').length, 0)
})

import '../helpers/timers.ts'
import {getEventListeners} from 'node:events'
import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {atMost, explainLateness, latenessOf, pause, turn, within} from '../../src/core/waiting.ts'
import {runningTimers} from '../helpers/timers.ts'

const never = new Promise<never>(() => {})

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

test('a wait with a signal ends with its reason, also if it had aborted before', async (t) => {
  const reason = new Fault('CANCELLED', 'The caller hung up')
  const controller = new AbortController()
  const waits = [within(controller.signal, never), pause(600_000, controller.signal)]
  controller.abort(reason)
  waits.push(within(controller.signal, never), pause(600_000, controller.signal))
  for (const wait of waits) t.is(await wait.catch((error: unknown) => error), reason)
})

test.serial('a limited wait tells whether the work was done in time, and leaves no timer', async (t) => {
  t.true(await atMost(600_000, Promise.resolve('done')))
  t.false(await atMost(0, never))
  await t.throwsAsync(atMost(600_000, Promise.reject(new Error('broken'))), {message: 'broken'})
  t.deepEqual(runningTimers(), [])
})

test('a late request is told what it has waited for longest, and not what has come', (t) => {
  const {signal} = new AbortController()
  const late = (what: string) => () => new Fault('DEADLINE_EXCEEDED', `No ${what} in time`)
  t.is(latenessOf(signal), undefined)
  {
    using _token = explainLateness(signal, late('token'))
    {
      using _object = explainLateness(signal, late('object'))
      t.is(latenessOf(signal)?.message, 'No token in time')
    }
  }
  t.is(latenessOf(signal), undefined)
  using _keys = explainLateness(signal, late('keys'))
  t.is(latenessOf(signal)?.message, 'No keys in time')
})

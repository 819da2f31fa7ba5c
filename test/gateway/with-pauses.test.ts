import test from 'ava'
import {WithPauses} from '../../src/gateway/with-pauses.ts'
import {paused} from '../../src/http/response/reply.ts'
import {runningTimers} from '../helpers/timers.ts'

/** A source whose results are given by hand, and how often it was asked and ended. */
function sourceOf<T>() {
  const asked: PromiseWithResolvers<IteratorResult<T>>[] = []
  const source = {
    asked,
    ended: 0,
    next() {
      asked.push(Promise.withResolvers())
      return asked.at(-1)!.promise
    },
    async return() {
      source.ended++
      return {done: true as const, value: undefined}
    },
  }
  return source
}

const pause = {done: false, value: paused}

test.serial('a source that is silent for many pauses is asked once', async (t) => {
  const source = sourceOf<number>()
  const values = new WithPauses(source, String, 1)
  for (let pauses = 0; pauses < 5; pauses++) t.deepEqual(await values.next(), pause)
  t.is(source.asked.length, 1)
  const next = values.next()
  source.asked[0]!.resolve({done: false, value: 7})
  t.deepEqual(await next, {done: false, value: '7'})
  await values.return()
})

test.serial('what arrives while nobody waits is the next value, and so is an error', async (t) => {
  const source = sourceOf<number>()
  const values = new WithPauses(source, String, 1)
  await values.next()
  await values.next()
  source.asked[0]!.resolve({done: false, value: 7})
  await new Promise(setImmediate)
  t.deepEqual(await values.next(), {done: false, value: '7'})
  t.deepEqual(await values.next(), pause)
  source.asked[1]!.reject(new Error('Broken'))
  await new Promise(setImmediate)
  await t.throwsAsync(values.next(), {message: 'Broken'})
  await values.return()
})

test.serial('a value that cannot be changed fails the wait for it', async (t) => {
  const source = sourceOf<number>()
  const refuse = () => {
    throw new Error('No JSON')
  }
  const values = new WithPauses(source, refuse, 1000)
  await values.next()
  const next = values.next()
  source.asked[0]!.resolve({done: false, value: 7})
  await t.throwsAsync(next, {message: 'No JSON'})
  await values.return()
})

test.serial('no timer is left by the end of the source, nor by return(), which ends the source', async (t) => {
  const source = sourceOf<number>()
  const values = new WithPauses(source, String, 1000)
  await values.next()
  const next = values.next()
  source.asked[0]!.resolve({done: true, value: undefined})
  t.deepEqual(await next, {done: true, value: undefined})
  t.deepEqual(ours(), [])
  const other = new WithPauses(source, String, 1000)
  await other.next()
  const waiting = other.next()
  t.is(ours().length, 1)
  await other.return()
  t.deepEqual([source.ended, ours()], [1, []])
  source.asked[1]!.resolve({done: true, value: undefined})
  await waiting
})

function ours(): string[] {
  return runningTimers().filter((timer) => timer.includes('/with-pauses.ts'))
}

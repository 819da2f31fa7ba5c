import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {LazySignal} from '../../src/core/lazy-signal.ts'
import {abortReasonOf, offAbort, onAbort} from '../../src/core/life.ts'

const first = new Fault('CANCELLED', 'first')
const second = new Fault('CANCELLED', 'second')

/** A request's signal, made at once or only when it is read, and how to abort it. */
const kinds = {
  'a signal'() {
    const controller = new AbortController()
    return {life: {signal: controller.signal}, abort: (reason: Fault) => controller.abort(reason)}
  },
  'a lazy signal'() {
    const lazySignal = new LazySignal()
    const life = {
      lazySignal,
      get signal() {
        return lazySignal.signal
      },
    }
    return {life, abort: (reason: Fault) => lazySignal.abort(reason)}
  },
}

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: the first abort is the reason, and each listener is called once`, (t) => {
    const {life, abort} = make()
    const called: string[] = []
    const gone = () => called.push('gone')
    onAbort(life, () => called.push('kept'))
    onAbort(life, gone)
    offAbort(life, gone)
    t.is(abortReasonOf(life), undefined)
    abort(first)
    abort(second)
    t.is(abortReasonOf(life), first)
    onAbort(life, () => called.push('late'))
    abort(second)
    t.deepEqual(called, ['kept'])
  })

  test(`${kind}: it can be read before and after the abort`, (t) => {
    const before = make()
    const {signal} = before.life
    const reasons: unknown[] = []
    signal.addEventListener('abort', () => reasons.push(signal.reason))
    before.abort(first)
    before.abort(second)
    t.deepEqual(reasons, [first])
    t.is(before.life.signal, signal)
    const after = make()
    after.abort(first)
    after.abort(second)
    t.true(after.life.signal.aborted)
    t.is(after.life.signal.reason, first)
  })
}

test('what has listened is not kept after the abort', async (t) => {
  const lazySignal = new LazySignal()
  const refs = [false, true].map((isLate) => {
    const held = {}
    if (isLate) lazySignal.abort(first)
    lazySignal.listen(() => void held)
    return new WeakRef(held)
  })
  await new Promise((resolve) => setImmediate(resolve))
  globalThis.gc!()
  t.deepEqual(
    refs.map((ref) => ref.deref()),
    [undefined, undefined],
  )
  t.is(lazySignal.reason, first)
})

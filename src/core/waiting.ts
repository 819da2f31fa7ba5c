import {setTimeout as wait} from 'node:timers/promises'
import type {Fault} from './fault.ts'

/** Waits for `work`, but no longer than `ms`; whether it has ended. Throws what it throws. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<boolean> {
  const {promise, resolve} = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, ms, false)
  try {
    return await Promise.race([work.then(() => true), promise])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * `work`, or the signal's reason as soon as it aborts: waiting ends, `work` itself does not.
 * @throws {Fault} the signal's reason
 */
export function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, {once: true})
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

const awaited = new WeakMap<AbortSignal, Set<() => Fault>>()

/**
 * Until it is disposed of, a request whose deadline passes ends with `late()`, which names what did not come, rather
 * than with a text that names nothing. `signal` is the request's own.
 * @example
 * using _ = explainLateness(signal, () => new Fault('DEADLINE_EXCEEDED', 'No ID token in time'))
 */
export function explainLateness(signal: AbortSignal, late: () => Fault): Disposable {
  const all = awaited.get(signal) ?? new Set()
  awaited.set(signal, all.add(late))
  return {[Symbol.dispose]: () => void all.delete(late)}
}

/** What the request of `signal` has waited for longest, as explainLateness() has it. */
export function latenessOf(signal: AbortSignal): Fault | undefined {
  const [late] = awaited.get(signal) ?? []
  return late?.()
}

/**
 * Waits `ms`.
 * @throws {Fault} the signal's reason, as soon as it aborts
 */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await wait(ms, undefined, signal && {signal})
  } catch {
    throw signal?.reason
  }
}

let lastTurn: Promise<void> = Promise.resolve()

/**
 * Waits for a turn of the event loop that no other caller gets: of work that takes its time, there is one piece a turn, and
 * all other requests go on between two.
 */
export function turn(): Promise<void> {
  lastTurn = lastTurn.then(() => new Promise((resolve) => setImmediate(resolve)))
  return lastTurn
}

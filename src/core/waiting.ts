import {setTimeout as wait} from 'node:timers/promises'
import type {Fault} from './fault.ts'

/** Waits for `work`, for at most `ms`. Returns whether it has settled in time. Rejects if `work` does. */
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
 * Waits for `work` until `signal` aborts. Aborting ends the wait, but does not stop `work`.
 * @throws {Fault} the signal's reason
 */
export function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, {once: true})
    const settled = () => signal.removeEventListener('abort', onAbort)
    work.then(resolve, reject)
    work.then(settled, settled)
  })
}

const awaited = new WeakMap<AbortSignal, Set<() => Fault>>()

/**
 * Until it is disposed of, a request whose deadline passes ends with the error `late()`, which names what the request was waiting for.
 * @param signal the request's own
 * @example
 * using _ = explainLateness(signal, () => new Fault('DEADLINE_EXCEEDED', 'No ID token in time'))
 */
export function explainLateness(signal: AbortSignal, late: () => Fault): Disposable {
  const all = awaited.get(signal) ?? new Set()
  awaited.set(signal, all.add(late))
  return {[Symbol.dispose]: () => void all.delete(late)}
}

/** The error for what the request of `signal` has waited for longest, from explainLateness(); undefined for none. */
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
 * Waits for a turn of the event loop that no other caller gets. So only one piece of expensive work runs in each turn, and other
 * requests proceed between two pieces.
 */
export function turn(): Promise<void> {
  lastTurn = lastTurn.then(() => new Promise((resolve) => setImmediate(resolve)))
  return lastTurn
}

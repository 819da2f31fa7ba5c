import type {Logger} from '../../core/log.ts'
import {atMost} from '../../core/waiting.ts'

/** How long a flush() may take at the end of a request that has the time, in ms. */
const patience = 1000

/** How long it may take after the deadline of its request: the 504 still leaves in time. In ms. */
const latePatience = 250

/** After a flush() that hung, requests do not wait for another until that one has ended, or for so long, in ms. */
const pause = 10_000

/** Until when no request waits for a flush(). */
const pausedUntil = new WeakMap<() => Promise<unknown>, number>()

/**
 * Waits for `flush`, but neither for ever nor again and again: telemetry that does not get through is no reason to keep a caller.
 * @param deadline of the request, in ms since the epoch
 */
export async function flushed(flush: () => Promise<unknown>, deadline: number, log: Logger): Promise<void> {
  if (Date.now() < (pausedUntil.get(flush) ?? 0)) return
  const ms = Math.max(latePatience, Math.min(patience, deadline - Date.now()))
  const work = Promise.try(flush)
  try {
    if (await atMost(ms, work)) return
    log.warn(`flush() did not end within ${ms} ms`)
    pausedUntil.set(flush, Date.now() + pause)
    const resume = () => pausedUntil.delete(flush)
    work.then(resume, resume)
  } catch (error) {
    log.warn({err: error}, 'flush() failed')
  }
}

import type {Logger} from '../../core/log.ts'
import {atMost} from '../../core/waiting.ts'

/** Timeout for a flush() at the end of a request, in ms. */
const patience = 1000

/** Timeout for a flush() after the request's deadline, in ms. It is so short that the 504 is still sent in time. */
const latePatience = 250

/** Pause after a flush() that hung, in ms. Until it is over, or that flush() has ended, requests do not wait for another one. */
const pause = 10_000

/** The end of the pause for each flush function, in ms since the epoch. */
const pausedUntil = new WeakMap<() => Promise<unknown>, number>()

/**
 * Waits for `flush`, with a timeout, and a pause after one that hung, so that broken telemetry does not delay callers.
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

import {AsyncLocalStorage} from 'node:async_hooks'
import type {Fault} from '../core/fault.ts'

/** A request that can be failed from outside: by a timer, an event listener or the end of the instance. */
export interface RunningRequest {
  /** Ends it now with `fault` as its answer; false when it is over already. */
  fail(fault: Fault): boolean
}

const current = new AsyncLocalStorage<RunningRequest>()

/** Runs `work` in the async context of `request`: errors thrown in timers and listeners it starts belong to `request`. */
export function runInContextOf<T>(request: RunningRequest, work: () => T): T {
  return current.run(request, work)
}

/** The request whose async context is active, or undefined outside any request. */
export function currentRequest(): RunningRequest | undefined {
  return current.getStore()
}

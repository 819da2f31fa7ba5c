import {AsyncLocalStorage} from 'node:async_hooks'
import type {ServerResponse} from 'node:http'
import type {Fault} from '../core/fault.ts'

/** A request that can be failed from outside: by a timer, an event listener or the end of the instance. */
export interface RunningRequest {
  /** Ends it now with `fault` as its answer; false when it is over already. */
  fail(fault: Fault): boolean
}

const current = new AsyncLocalStorage<RunningRequest>()

const byResponse = new WeakMap<ServerResponse, RunningRequest>()
const failedBefore = new WeakMap<ServerResponse, Fault>()

/** Says that `response` is the answer to `request`. */
export function answers(response: ServerResponse, request: RunningRequest): void {
  byResponse.set(response, request)
  const fault = failedBefore.get(response)
  if (fault) request.fail(fault)
}

/** Fails the request that `response` is the answer to, also when it has yet to get from the framework to its function. */
export function failAnswerOf(response: ServerResponse, fault: Fault): void {
  const request = byResponse.get(response)
  if (request) request.fail(fault)
  else failedBefore.set(response, fault)
}

/** Runs `work` in the async context of `request`: errors thrown in timers and listeners it starts belong to `request`. */
export function runInContextOf<T>(request: RunningRequest, work: () => T): T {
  return current.run(request, work)
}

/** The request whose async context is active, or undefined outside any request. */
export function currentRequest(): RunningRequest | undefined {
  return current.getStore()
}

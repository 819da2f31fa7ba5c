import {AsyncLocalStorage} from 'node:async_hooks'
import type {ServerResponse} from 'node:http'
import type {Fault} from '../core/fault.ts'

/** A request that can be failed from outside: by a timer, an event listener or the end of the instance. */
export interface RunningRequest {
  /** Answers it with `fault` now. Returns false if it is over already. */
  fail(fault: Fault): boolean
}

const current = new AsyncLocalStorage<RunningRequest>()

const answered = Symbol('the request that a response is the answer to')
const failed = Symbol('why a response fails whose request has yet to run')

// Properties rather than WeakMaps: V8's young generation keeps all entries of a WeakMap alive, which costs a request 20 µs.
type Answering = ServerResponse & {[answered]?: RunningRequest; [failed]?: Fault}

/** Records that `response` is the answer to `request`. */
export function answers(response: Answering, request: RunningRequest): void {
  response[answered] = request
  if (response[failed]) request.fail(response[failed])
}

/** Fails the request of `response`, even if the framework has not passed it to its function yet. */
export function failAnswerOf(response: Answering, fault: Fault): void {
  if (response[answered]) response[answered].fail(fault)
  else response[failed] = fault
}

/** Runs `work` in the async context of `request`: errors thrown in timers and listeners it starts belong to `request`. */
export function runInContextOf<T>(request: RunningRequest, work: () => T): T {
  return current.run(request, work)
}

/** The request whose async context is active, or undefined outside any request. */
export function currentRequest(): RunningRequest | undefined {
  return current.getStore()
}

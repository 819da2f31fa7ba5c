import type {DescMethod} from '@bufbuild/protobuf'
import type {Caller} from './caller.ts'
import {Fault} from './fault.ts'
import type {LazySignal} from './lazy-signal.ts'
import type {Logger} from './log.ts'
import type {RequestSpan} from './telemetry/spans.ts'

/** The context of one request, shared by everything that works for it. */
export interface Life {
  /** Aborted when the request ends, also when it succeeds. Its reason is a Fault. */
  readonly signal: AbortSignal
  /** The same signal, for what every request does: it need not be made for that. Only serve() has one. */
  readonly lazySignal?: Pick<LazySignal, 'reason' | 'listen' | 'unlisten'>
  /** Deadline of the request, in ms since the epoch. */
  readonly deadline: number
  /** The request's id, as in `x-request-id`. */
  readonly id: string
  /** Trace headers of the request that are forwarded to backends, such as `traceparent`. */
  readonly trace: Readonly<Record<string, string>>
  readonly log: Logger
  /** The request's span, where the process has an SDK of OpenTelemetry. */
  readonly span?: RequestSpan | undefined
  /** The caller, verified by `AUTH=jwt`; undefined for an anonymous one. */
  readonly caller?: Caller | undefined
  /** Checks that the caller may call `method`, by AUTH_ALLOW and its proto. @throws {Fault} 401, 403 */
  checkCall?(method: DescMethod): void
  /** Keeps the request open until `work` has settled, so that no work is left behind. Returns `work`. */
  track<T>(work: Promise<T>): Promise<T>
  /** Adds fields to the request's log record. */
  note(fields: Record<string, unknown>): void
}

/** The abort reason of a request that ended normally. */
export const over = new Fault('CANCELLED', 'The request is over')

type Aborting = Pick<Life, 'lazySignal' | 'signal'>

/** Why the signal of `life` was aborted; undefined until then. */
export function abortReasonOf(life: Aborting): Fault | undefined {
  return life.lazySignal ? life.lazySignal.reason : life.signal.reason
}

/** Calls `listener` once, when the signal of `life` aborts; never if that was before. */
export function onAbort(life: Aborting, listener: () => void): void {
  if (life.lazySignal) life.lazySignal.listen(listener)
  else life.signal.addEventListener('abort', listener, {once: true})
}

export function offAbort(life: Aborting, listener: () => void): void {
  if (life.lazySignal) life.lazySignal.unlisten(listener)
  else life.signal.removeEventListener('abort', listener)
}

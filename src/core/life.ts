import type {DescMethod} from '@bufbuild/protobuf'
import type {Caller} from './caller.ts'
import {Fault} from './fault.ts'
import type {Logger} from './log.ts'
import type {RequestSpan} from './telemetry/spans.ts'

/** The context of one request, shared by everything that works for it. */
export interface Life {
  /** Aborted when the request ends, also when it succeeds. Its reason is a Fault. */
  readonly signal: AbortSignal
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

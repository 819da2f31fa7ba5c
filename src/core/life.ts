import type {DescMethod} from '@bufbuild/protobuf'
import type {Caller} from './caller.ts'
import {Fault} from './fault.ts'
import type {Logger} from './log.ts'
import type {RequestSpan} from './spans.ts'

/** The life of one request, as everything that works for it sees it. */
export interface Life {
  /** Aborted when the life is over, whether all went well or not; its reason is a Fault. */
  readonly signal: AbortSignal
  /** When it ends at the latest, in ms since the epoch. */
  readonly deadline: number
  /** The request's id, as in `x-request-id`. */
  readonly id: string
  /** Headers of the request that go through to a backend: `traceparent` and the like. */
  readonly trace: Readonly<Record<string, string>>
  readonly log: Logger
  /** The request's span, where the process has an SDK of OpenTelemetry. */
  readonly span?: RequestSpan | undefined
  /** Who sends the request, as `AUTH=jwt` has verified it; undefined: nobody in particular. */
  readonly caller?: Caller | undefined
  /** Refuses a call of `method` that AUTH_ALLOW or its proto forbids the caller. @throws {Fault} 401, 403 */
  checkCall?(method: DescMethod): void
  /** Has the life last until `work` has settled, so that no work is left behind; gives `work` back. */
  track<T>(work: Promise<T>): Promise<T>
  /** Adds fields to the one record that the log gets of this request. */
  note(fields: Record<string, unknown>): void
}

/** Why a signal is aborted once all is over and well. */
export const over = new Fault('CANCELLED', 'The request is over')

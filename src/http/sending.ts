import type {ErrorShape} from '../core/config.ts'
import type {Fault} from '../core/fault.ts'
import type {Responder} from './response/responder.ts'
import type {Upgrade} from './response/upgrade.ts'

/** The facts about a response's end for its span. */
export interface Ending {
  readonly status: number
  /** Size of the whole body, in bytes. */
  readonly bodySize: number
  /** The error that ends it before it is complete. */
  readonly fault?: Fault | undefined
}

/** The parts of a request's life that its response needs. */
export interface Sending {
  readonly method: string
  readonly id: string
  readonly signal: AbortSignal
  readonly deadline: number
  readonly errorShape: ErrorShape
  readonly responseHeaders: Readonly<Record<string, string>>
  readonly responder: Responder
  /** The upgrade of a request for a WebSocket. */
  readonly upgrade: Upgrade | undefined
  /** Aborts the request with `fault`. Returns false if the request is over already. */
  fail(fault: Fault): boolean
  /** The same as in Scope. @throws {Fault} 429 */
  hold(bytes: number): void
  /** Waits for `work`, or rejects with the signal's reason as soon as it aborts. */
  race<T>(work: Promise<T>): Promise<T>
  track<T>(work: Promise<T>): Promise<T>
  /** Aborts the signal with `reason`, and waits until all tracked work has ended. */
  close(reason: Fault): Promise<void>
  /** Whether there is any telemetry to complete. */
  readonly isObserved: boolean
  /** Completes the request's span and flushes its telemetry, before the response ends. */
  finish(ending: Ending): Promise<void>
}

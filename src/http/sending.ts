import type {ErrorShape} from '../core/config.ts'
import type {Fault} from '../core/fault.ts'
import type {Responder} from './response/responder.ts'
import type {Upgrade} from './response/upgrade.ts'

/** How a response ends, as its span is told. */
export interface Ending {
  readonly status: number
  /** The whole body, in bytes. */
  readonly bodySize: number
  /** Why it ends before it is complete. */
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
  /** The WebSocket that the request asks for. */
  readonly upgrade: Upgrade | undefined
  /** Ends the request with `fault`; false when it is over already. */
  fail(fault: Fault): boolean
  /** As Scope has it. @throws {Fault} 429 */
  hold(bytes: number): void
  /** `work`, or the signal's reason as soon as it aborts. */
  race<T>(work: Promise<T>): Promise<T>
  track<T>(work: Promise<T>): Promise<T>
  /** Aborts the signal with `reason`, and waits until all tracked work has ended. */
  close(reason: Fault): Promise<void>
  /** Whether there is anything to finish. */
  readonly isObserved: boolean
  /** Tells the request's span how it ends, and flushes what was gathered of it. Only then does the response end. */
  finish(ending: Ending): Promise<void>
}

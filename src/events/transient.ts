import type {Code, Fault} from '../core/fault.ts'

/**
 * Whether an error with this code may be transient. The event is then not acknowledged, so that it is sent again and, in the end, goes
 * to the dead-letter topic. An acknowledged event is lost.
 */
const transient = {
  OK: false,
  CANCELLED: true,
  UNKNOWN: true,
  INVALID_ARGUMENT: false,
  DEADLINE_EXCEEDED: true,
  NOT_FOUND: false,
  ALREADY_EXISTS: false,
  PERMISSION_DENIED: false,
  RESOURCE_EXHAUSTED: true,
  FAILED_PRECONDITION: false,
  ABORTED: true,
  OUT_OF_RANGE: false,
  // A front end answers 404, which becomes this code, while there is no service behind it.
  UNIMPLEMENTED: true,
  INTERNAL: true,
  UNAVAILABLE: true,
  DATA_LOSS: true,
  UNAUTHENTICATED: true,
} as const satisfies Record<Code, boolean>

/** Whether an event that failed with `fault` has to be sent again. Our own errors toward a backend (502) are transient, for any code. */
export function isTransient(fault: Fault): boolean {
  return transient[fault.code] || fault.retryAfter !== undefined || (fault.ownHttpStatus ?? 0) >= 500
}

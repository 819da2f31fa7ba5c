import type {Code, Fault} from '../core/fault.ts'

/**
 * Whether a failure with this code may be transient: then the event is not acknowledged. An acknowledged event is lost for ever; one that is
 * sent again ends in the dead letters at last.
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
  // A front end answers so, with 404, while there is no service behind it.
  UNIMPLEMENTED: true,
  INTERNAL: true,
  UNAVAILABLE: true,
  DATA_LOSS: true,
  UNAUTHENTICATED: true,
} as const satisfies Record<Code, boolean>

/** Whether an event that failed with `fault` is to be sent again. A failure of ours toward a backend (502) is transient, whatever its code is. */
export function isTransient(fault: Fault): boolean {
  return transient[fault.code] || fault.retryAfter !== undefined || (fault.ownHttpStatus ?? 0) >= 500
}

import type {Code, Fault} from '../core/fault.ts'

/**
 * Whether the same event may succeed later. Where it may, the event is not acknowledged: what is acknowledged is lost for ever, what is
 * sent again ends in the dead letters at last.
 */
const passing = {
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

/** Whether the event that failed with `fault` is to be sent again. A failure of ours toward a backend (502) may pass, whatever its code is. */
export function mayPass(fault: Fault): boolean {
  return passing[fault.code] || fault.retryAfter !== undefined || (fault.ownHttpStatus ?? 0) >= 500
}

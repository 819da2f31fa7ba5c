import {Fault} from '../core/fault.ts'

/** A request without a proof, or with one that does not hold. `why` is for the log alone. */
export function unauthenticated(why: string, cause?: unknown, headers: Record<string, string> = {}): Fault {
  return new Fault('UNAUTHENTICATED', 'The request does not prove who sends it', {
    reason: 'UNAUTHENTICATED_CALLER',
    hint: why,
    cause,
    headers,
  })
}

/** A caller who may not do this. `why` is for the log alone. */
export function denied(why: string): Fault {
  return new Fault('PERMISSION_DENIED', 'The caller may not do this', {reason: 'CALLER_NOT_ALLOWED', hint: why})
}

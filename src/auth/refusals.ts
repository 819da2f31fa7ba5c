import {Fault} from '../core/fault.ts'

/** For a request without valid credentials. @param why only for the log */
export function unauthenticated(why: string, cause?: unknown, headers: Record<string, string> = {}): Fault {
  return new Fault('UNAUTHENTICATED', 'The request has no valid credentials', {
    reason: 'UNAUTHENTICATED_CALLER',
    hint: why,
    cause,
    headers,
  })
}

/** For a caller without the permission. @param why only for the log */
export function denied(why: string, headers: Record<string, string> = {}): Fault {
  return new Fault('PERMISSION_DENIED', 'The caller may not do this', {
    reason: 'CALLER_NOT_ALLOWED',
    hint: why,
    headers,
  })
}

import {Fault} from '../core/fault.ts'
import type {Scope} from './scope.ts'

/**
 * Lets a request through whose method is one of `methods`; HEAD wherever GET is.
 * @throws {Fault} 405 with Allow
 */
export function only({method}: Scope, ...methods: string[]): void {
  const allowed = methods.includes('GET') ? [...methods, 'HEAD'] : methods
  if (allowed.includes(method)) return
  throw new Fault('UNIMPLEMENTED', `Method ${method} is not allowed here`, {
    http: 405,
    reason: 'METHOD_NOT_ALLOWED',
    headers: {allow: allowed.join(', ')},
  })
}

import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import type {Reply} from '../response/reply.ts'
import type {Handler, Scope} from '../scope.ts'
import {isPreflight} from './cors.ts'

/**
 * Restricts `handler` to the HTTP methods `methods`, and HEAD if GET is among them. OPTIONS is answered without a call of `handler`; all other methods
 * get 405 with `Allow` (RFC 9110 section 15.5.6).
 * @example
 * const hello = only(['GET'], () => json({hello: 'world'}))
 */
export function only(methods: readonly string[], handler: Handler): Handler {
  return Object.assign((scope: Scope) => handler(scope), {...handler, methods})
}

/** The methods that `handler` accepts, and OPTIONS, sorted; empty if it accepts all. */
export function methodsOf({methods}: Handler): readonly string[] {
  if (!methods) return []
  return [...new Set([...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'])].sort()
}

/** Whether `handler` is called with `method`, which is not OPTIONS. */
function takes({methods}: Handler, method: string): boolean {
  return !methods || methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))
}

/**
 * The reply to a preflight or OPTIONS, which `handler` does not get; undefined for a request that it gets.
 * @throws {Fault} 405 with Allow
 */
export function answerInstead(scope: Scope, handler: Handler): Reply | undefined {
  if (handler.answersOptions) return undefined
  if (isPreflight(scope)) return {status: 204}
  if (scope.method !== 'OPTIONS' && takes(handler, scope.method)) return undefined
  const methods = methodsOf(handler)
  const headers = {allow: methods.join(', ')}
  if (scope.method === 'OPTIONS') return methods.length === 0 ? undefined : {status: 204, headers}
  throw new Fault('UNIMPLEMENTED', `Cannot ${scope.method} "${shortened(scope.path)}": it takes ${headers.allow}`, {
    http: 405,
    reason: 'METHOD_NOT_ALLOWED',
    headers,
  })
}

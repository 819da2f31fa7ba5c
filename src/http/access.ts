import type {Access} from '../auth/rules.ts'
import type {Handler, Scope} from './scope.ts'

/** What `scope` is for, when `handler` is called with it. */
export function accessOf({access = {}}: Handler, scope: Scope): Access {
  return typeof access === 'function' ? access(scope) : access
}

/** `handler` under a name of its own, such as `/ping`, by which AUTH_PUBLIC and the like mean it. */
export function named(name: string, handler: Handler): Handler {
  const access = (scope: Scope) => ({...accessOf(handler, scope), name})
  return Object.assign((scope: Scope) => handler(scope), {...handler, access})
}

import {healthOf} from '../clients/health.ts'
import type {Runtime} from '../clients/runtime.ts'
import {type Backend, ConfigError} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {only} from '../http/request/methods.ts'
import {failureJson} from '../http/response/failure.ts'
import {json, type Reply} from '../http/response/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'

/** Timeout of a backend's health check, in ms. All backends are checked at the same time. */
const patience = 4500

/**
 * A function that reports the backends' state. GET / answers 200 with the state of each backend, or 503 with the reasons for those
 * that fail. A backend that is reachable but does not report its state makes the result UNKNOWN, which is not an error.
 * @throws {ConfigError} when no backend is configured
 * @example
 * run(process.env, {health: (runtime) => health(runtime)})
 */
export function health(runtime: Runtime): Handler {
  if (runtime.config.backends.length > 0) {
    return Object.assign(
      only(['GET'], (scope) => statesOf(runtime, scope)),
      {exempt: true},
    )
  }
  throw new ConfigError('BACKEND_URL is not set: expected the URL of a backend to ask')
}

async function statesOf(runtime: Runtime, scope: Scope): Promise<Reply> {
  const backends = await Promise.all(runtime.config.backends.map((backend) => stateOf(runtime, scope, backend)))
  const failing = backends.filter(({status, note}) => status !== 'SERVING' && !note)
  if (failing.length === 0) return json({status: backends.some(({note}) => note) ? 'UNKNOWN' : 'SERVING', backends})
  const why = failing.map(({url, status, message}) => `${url} is ${status}${message ? `: ${message}` : ''}`)
  scope.note({backends})
  return json({status: 'NOT_SERVING', backends, ...errorOf(why.join('; '))}, {status: 503})
}

interface State {
  readonly [field: string]: string
  readonly url: string
  readonly status: string
}

async function stateOf(runtime: Runtime, scope: Scope, backend: Backend): Promise<State> {
  try {
    return {url: backend.url, ...(await healthOf(runtime, scope, backend, patience))}
  } catch (error) {
    const {code, message, hint, cause} = Fault.from(error)
    scope.log.warn({err: cause, hint}, `${backend.url}: ${message}${hint ? ` (${hint})` : ''}`)
    return {url: backend.url, status: code, message}
  }
}

function errorOf(why: string) {
  return failureJson(new Fault('UNAVAILABLE', why), 'aip') as object
}

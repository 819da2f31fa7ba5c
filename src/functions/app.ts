import type {Runtime} from '../clients/runtime.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {gateway} from './gateway.ts'
import {health} from './health.ts'
import {ping} from './ping.ts'
import {upload} from './upload.ts'

/**
 * All functions behind one entry point: the gateway has every path that no other one has.
 * @throws {ConfigError} for a rule at the path of another function
 */
export function app(runtime: Runtime): Handler {
  const routes: Readonly<Record<string, Handler>> = {
    '/ping': ping(runtime),
    '/upload': upload(runtime),
    '/health': health(runtime),
  }
  const others = gateway(runtime, {taken: Object.keys(routes)})
  const choose = ({path}: Scope) => (Object.hasOwn(routes, path) ? routes[path]! : others)
  return Object.assign((scope: Scope) => choose(scope)(scope), {choose, errorShape: others.errorShape})
}

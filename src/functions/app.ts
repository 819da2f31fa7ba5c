import type {Runtime} from '../clients/runtime.ts'
import {byPath} from '../http/by-path.ts'
import type {Handler} from '../http/scope.ts'
import {gateway} from './gateway.ts'
import {health} from './health.ts'
import {ping} from './ping.ts'
import {upload} from './upload.ts'

/**
 * All functions behind one entry point: the gateway has every path that no other one has.
 * @throws {ConfigError} for a rule at the path of another function
 */
export function app(runtime: Runtime): Handler {
  return byPath(runtime, {'/ping': ping, '/upload': upload, '/health': health}, gateway)
}

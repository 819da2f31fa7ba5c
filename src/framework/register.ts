import {http} from '@google-cloud/functions-framework'
import {type Config, ConfigError} from '../core/config.ts'
import {functionsChannel} from '../core/telemetry/start-channels.ts'
import {named} from '../http/access.ts'
import {everyFunction, everyName} from '../http/every-function.ts'
import type {Handler, Serving} from '../http/scope.ts'
import {serve} from '../http/serve.ts'
import {direct} from './direct.ts'
import {serveRawRequests} from './raw-requests.ts'
import {endWell} from './shutdown.ts'
import {takeUpgrades} from './upgrades.ts'

/** The parts of a runtime that a registration needs. */
export interface Registering extends Serving {
  readonly config: Serving['config'] & Pick<Config, 'target'>
  /** Called once when the instance stops, after all requests have been answered. */
  close(): Promise<void> | void
}

/**
 * Registers the function that FUNCTION_TARGET names with the functions-framework, until the process ends. Only
 * that function is made; `all` serves every function at once, for development. From now on the framework parses no body, and SIGTERM lets the requests in flight end.
 * @param functions maps each function's name to its factory
 * @throws {ConfigError} when no function has that name; any error of the function's factory
 * @example
 * register(createRuntime(readConfig(process.env)), {
 *   gateway,
 *   hello: () => () => json({hello: 'world'}),
 * })
 */
export function register<R extends Registering>(
  runtime: R,
  functions: Readonly<Record<string, (runtime: R) => Handler>>,
): void {
  const {target} = runtime.config
  functionsChannel.publish({names: Object.keys(functions)})
  const handler = handlerOf(target, runtime, functions)
  serveRawRequests({log: runtime.log, errorShape: handler.errorShape})
  if (handler.webSockets) takeUpgrades()
  endWell(runtime)
  http(target, direct(serve(handler, runtime), runtime.log))
}

/** @throws {ConfigError} */
function handlerOf<R extends Registering>(
  target: string,
  runtime: R,
  functions: Readonly<Record<string, (runtime: R) => Handler>>,
): Handler {
  const make = Object.hasOwn(functions, target) ? functions[target] : undefined
  if (make) return named(`/${target}`, make(runtime))
  if (target === everyName) return everyFunction(runtime, functions)
  throw new ConfigError(`FUNCTION_TARGET="${target}": expected one of ${Object.keys(functions).join(', ')}`)
}

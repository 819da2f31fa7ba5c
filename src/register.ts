import {createRequire} from 'node:module'
import {http} from '@google-cloud/functions-framework'
import {closeChannels} from './clients/channels.ts'
import {ConfigError, config} from './core/config.ts'
import {leaveRequestsUntouched} from './framework/raw-requests.ts'
import {endWell} from './framework/shutdown.ts'
import {type Handler, serve} from './http/scope.ts'

const require = createRequire(import.meta.url)

/** Every function by its name: a file in functions/ that exports it. A function of your own is one more row. */
const functions: Readonly<Record<string, () => Handler>> = {
  app: () => require('./functions/app.ts').app,
  gateway: () => require('./functions/gateway.ts').gateway,
  health: () => require('./functions/health.ts').health,
  ping: () => require('./functions/ping.ts').ping,
  upload: () => require('./functions/upload.ts').upload,
}

/**
 * Registers the function that is deployed here with the functions-framework.
 * @throws {ConfigError} when there is none of that name
 */
export function register(): void {
  const load = Object.hasOwn(functions, config.target) ? functions[config.target] : undefined
  if (!load) {
    throw new ConfigError(`FUNCTION_TARGET="${config.target}": expected one of ${Object.keys(functions).join(', ')}`)
  }
  leaveRequestsUntouched()
  endWell(closeChannels)
  http(config.target, serve(load()))
}

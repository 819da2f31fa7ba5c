import {http} from '@google-cloud/functions-framework'
import {closeChannels} from './clients/channels.ts'
import {ConfigError, config} from './core/config.ts'
import {leaveRequestsUntouched} from './framework/raw-requests.ts'
import {endWell} from './framework/shutdown.ts'
import {type Handler, serve} from './http/scope.ts'

/** Every function by its name: a file in functions/ that exports it. A function of your own is one more row. */
const functions: Readonly<Record<string, () => Promise<Handler>>> = {
  app: async () => (await import('./functions/app.ts')).app,
  gateway: async () => (await import('./functions/gateway.ts')).gateway,
  health: async () => (await import('./functions/health.ts')).health,
  ping: async () => (await import('./functions/ping.ts')).ping,
  upload: async () => (await import('./functions/upload.ts')).upload,
}

/**
 * Registers the function that is deployed here with the functions-framework.
 * @throws {ConfigError} when there is none of that name
 */
export async function register(): Promise<void> {
  const load = Object.hasOwn(functions, config.target) ? functions[config.target] : undefined
  if (!load) {
    throw new ConfigError(`FUNCTION_TARGET="${config.target}": expected one of ${Object.keys(functions).join(', ')}`)
  }
  leaveRequestsUntouched()
  endWell(closeChannels)
  http(config.target, serve(await load()))
}

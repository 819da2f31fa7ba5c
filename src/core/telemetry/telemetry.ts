import type {Telemetry} from './spans.ts'

/** Where OpenTelemetry's API keeps what an SDK has registered: the same for all copies of its version 1. */
const registered = Symbol.for('opentelemetry.js.api.1')

let loaded: Telemetry | undefined
let isLost = false

/** OpenTelemetry, once a request has begun with an SDK; undefined before. */
export function telemetry(): Telemetry | undefined {
  return loaded
}

/**
 * Loads OpenTelemetry's API if an SDK has registered since; undefined when there is nothing to wait for. Without an SDK a
 * request costs one look at a global. An API that cannot be loaded is no reason to refuse a request.
 */
export function prepareTelemetry(): Promise<void> | undefined {
  if (loaded || isLost || !(registered in globalThis)) return undefined
  return import('./open-telemetry.ts').then(
    ({openTelemetry}) => {
      loaded = openTelemetry
    },
    (error: unknown) => {
      isLost = true
      process.emitWarning(`OpenTelemetry cannot be used: ${String(error)}`)
    },
  )
}

import type {Telemetry} from './spans.ts'

/** The global symbol under which OpenTelemetry's API stores the registered SDK, shared by all copies of its version 1. */
const registered = Symbol.for('opentelemetry.js.api.1')

let loaded: Telemetry | undefined
let isLost = false

/** OpenTelemetry; undefined until a request starts in a process with an SDK. */
export function telemetry(): Telemetry | undefined {
  return loaded
}

/**
 * Loads OpenTelemetry's API if an SDK has registered since; undefined when there is nothing to wait for. Without an SDK a
 * request only checks a global variable. An API that cannot be loaded does not fail a request.
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

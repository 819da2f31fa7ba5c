import type {Telemetry} from './spans.ts'

/** Where OpenTelemetry's API keeps what an SDK has registered: the same for all copies of its version 1. */
const registered = Symbol.for('opentelemetry.js.api.1')

let loaded: Telemetry | undefined

/** OpenTelemetry, once a request has begun with an SDK; undefined before. */
export function telemetry(): Telemetry | undefined {
  return loaded
}

/**
 * Loads OpenTelemetry's API if an SDK has registered since; undefined when there is nothing to wait for. Without an SDK a
 * request costs one look at a global.
 */
export function prepareTelemetry(): Promise<void> | undefined {
  if (loaded || !(registered in globalThis)) return undefined
  return import('./open-telemetry.ts').then(({openTelemetry}) => {
    loaded = openTelemetry
  })
}

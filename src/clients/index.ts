/** Calls of gRPC services, without the HTTP face: channels, ID tokens, retries and metrics are the runtime's. */
export {ConfigError, readConfig} from '../core/config.ts'
export {Fault} from '../core/fault.ts'
export type {Life} from '../core/life.ts'
export {callMetrics, type EndedCalls, type MethodMetrics} from './calls/metrics.ts'
export {type BackendHealth, healthOf} from './health.ts'
export {createRuntime, type Runtime, type RuntimeOptions} from './runtime.ts'
export {
  type CallOptions,
  type ClientOptions,
  type ClientRuntime,
  createClient,
  type ServiceClient,
  type Stream,
} from './service-client.ts'

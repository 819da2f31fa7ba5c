/**
 * The library's main entry point. Importing it has no side effects and does not read the environment. A runtime is made from a
 * configuration, and functions are made from a runtime.
 */
export type {CallRuntime} from './clients/call.ts'
export {createRuntime, type Runtime, type RuntimeOptions} from './clients/runtime.ts'
export {
  type CallOptions,
  type ClientOptions,
  createClient,
  type ServiceClient,
  type Stream,
} from './clients/service-client.ts'
export type {Caller, KeyCaller, TokenCaller, WebhookCaller} from './core/caller.ts'
export {type Backend, type Config, ConfigError, type GatewayConfig, readConfig} from './core/config.ts'
export {type Code, codes, Fault, type FaultOptions} from './core/fault.ts'
export type {Life} from './core/life.ts'
export type {RateCount, RateLimitStore} from './core/rate-limit.ts'
export {
  type CloudEvent,
  type EventHandler,
  type EventOptions,
  type PubsubMessage,
  serveEvent,
} from './events/serve-event.ts'
export {register} from './framework/register.ts'
export {health} from './functions/health.ts'
export {type GatewayOptions, gateway} from './gateway/gateway.ts'
export {byPath} from './http/by-path.ts'
export {only} from './http/request/methods.ts'
export {eventStream, json, message, ndjson, type Reply} from './http/response/reply.ts'
export type {Handler, Scope, Serving} from './http/scope.ts'
export {serve} from './http/serve.ts'
export {run} from './run.ts'
export {type FinalizedOptions, finalized} from './upload/finalized.ts'
export {uploadSession} from './upload/session.ts'
export {type Chunk, type Facts, type UploadMethod, type UploadOptions, upload} from './upload/upload.ts'

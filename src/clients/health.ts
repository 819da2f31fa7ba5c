import {create} from '@bufbuild/protobuf'
import type {Backend} from '../core/config.ts'
import {type Code, Fault} from '../core/fault.ts'
import type {Life} from '../core/life.ts'
import {
  Health,
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
} from '../gen/health/v1/health_pb.js'
import type {CallRuntime} from './call.ts'
import {callOf, onlyAnswer} from './service-client.ts'

/** The state of a backend's server as a whole. */
export interface BackendHealth {
  /** As in grpc.health.v1: SERVING, NOT_SERVING, … */
  readonly status: string
  /** Why the status is UNKNOWN although the backend answers. */
  readonly note?: string
}

/** The grpc.health.v1 status of a backend's server as a whole: SERVING, NOT_SERVING, … */
export async function servingStatus(
  runtime: CallRuntime,
  life: Life,
  backend: Backend,
  timeout: number,
): Promise<string> {
  const request = create(HealthCheckRequestSchema)
  const call = callOf(runtime, {life, backend, method: Health.method.check, requests: () => [request]}, {timeout})
  const {status} = (await life.track(onlyAnswer(call))) as HealthCheckResponse
  return HealthCheckResponse_ServingStatus[status] ?? String(status)
}

/** Notes for backends that answer but do not report their state, by the code of their answer. */
const silent: Partial<Record<Code, string>> = {
  UNIMPLEMENTED: 'it answers, and has no grpc.health.v1.Health',
  NOT_FOUND: 'it answers, and its grpc.health.v1.Health knows no status of the whole server',
  UNAUTHENTICATED: 'it answers, and requires credentials for grpc.health.v1.Health.Check',
  PERMISSION_DENIED: 'it answers, and does not allow grpc.health.v1.Health.Check',
}

/**
 * Asks a backend for its state by grpc.health.v1. A backend without that service, as most are, is UNKNOWN with a note: it can be
 * reached.
 * @param life the request that asks; a scope is one
 * @param timeout in ms
 * @throws {Fault} when the backend cannot be reached, or not in time
 * @example
 * const {status, note} = await healthOf(runtime, scope, runtime.config.backendOf('ping.PingService'), 1000)
 */
export async function healthOf(
  runtime: CallRuntime,
  life: Life,
  backend: Backend,
  timeout: number,
): Promise<BackendHealth> {
  try {
    return {status: await servingStatus(runtime, life, backend, timeout)}
  } catch (error) {
    // Only a gRPC server gives these codes: a proxy's answers and failed connections are UNAVAILABLE.
    const note = error instanceof Fault ? silent[error.code] : undefined
    if (note === undefined) throw error
    return {status: 'UNKNOWN', note}
  }
}

import {create} from '@bufbuild/protobuf'
import type {Backend} from '../core/config.ts'
import type {Life} from '../core/life.ts'
import {
  Health,
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
} from '../gen/health/v1/health_pb.js'
import {callOf, onlyAnswer} from './service-client.ts'

/** The grpc.health.v1 status of a backend's server as a whole: SERVING, NOT_SERVING, … */
export async function servingStatus(life: Life, backend: Backend, timeout: number): Promise<string> {
  const request = create(HealthCheckRequestSchema)
  const call = callOf(life, backend, Health.method.check, () => [request], {timeout})
  const {status} = (await life.track(onlyAnswer(call))) as HealthCheckResponse
  return HealthCheckResponse_ServingStatus[status] ?? String(status)
}

import {PingService} from '../gen/ping/ping_pb.js'
import {clientOf} from './service-client.ts'

/** The Ping service. */
export const pingService = clientOf(PingService)

import {create, toBinary} from '@bufbuild/protobuf'
import type {Any} from '@bufbuild/protobuf/wkt'
import {Metadata, type StatusObject, status} from '@grpc/grpc-js'
import {StatusSchema} from '../../src/gen/google/rpc/status_pb.js'

/**
 * A failure that the caller of a local service sees: its gRPC code, a message, and details (google/rpc/error_details.proto).
 * Anything else that a handler throws becomes INTERNAL without its message.
 * @example
 * import {status} from '@grpc/grpc-js'
 *
 * const services = [
 *   service(PingService, {
 *     send: () => {
 *       throw new StatusError(status.NOT_FOUND, 'No such book')
 *     },
 *   }),
 * ]
 */
export class StatusError extends Error {
  override readonly name = 'StatusError'
  readonly code: status
  readonly details: readonly Any[]

  constructor(code: status, message: string, details: readonly Any[] = []) {
    super(message)
    this.code = code
    this.details = details
  }
}

const causes = new WeakMap<Metadata, unknown>()

/** `error` as the caller sees it. One that is not a StatusError gives nothing away; causeOf() knows it for the log. */
export function statusOf(error: unknown, trailer = new Metadata()): StatusObject {
  if (!(error instanceof StatusError)) {
    causes.set(trailer, error)
    return {code: status.INTERNAL, details: 'Internal error', metadata: trailer}
  }
  // grpc-js percent-encodes the message, which throws on half a surrogate pair.
  const message = error.message.toWellFormed()
  if (error.details.length) {
    const rich = create(StatusSchema, {code: error.code, message, details: [...error.details]})
    trailer.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, rich)))
  }
  return {code: error.code, details: message, metadata: trailer}
}

/** The error that a handler threw. `metadata` is the trailer of the INTERNAL that the caller got. */
export function causeOf(metadata: Metadata | null | undefined): unknown {
  return metadata ? causes.get(metadata) : undefined
}

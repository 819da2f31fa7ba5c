import {create, fromBinary, type MessageShape, toBinary} from '@bufbuild/protobuf'
import {type ChannelCredentials, Client, credentials, Metadata, type ServiceError} from '@grpc/grpc-js'
import {StatusSchema} from '../../src/gen/google/rpc/status_pb.js'
import {PingService, PongSchema, RequestSchema, ResponseSchema} from '../../src/gen/ping/ping_pb.js'
import type {AskUpstream} from '../services/ping.ts'
import type {CallContext} from './implement.ts'
import {StatusError} from './status-error.ts'

/** Where SendUpstream asks. */
export interface Upstream {
  /** `host:port` */
  target: string
  credentials: ChannelCredentials
  /** The ID token to ask with; left out, the caller's own authorization is passed on. */
  idToken?: (() => Promise<string>) | undefined
}

/** The Ping service at `url`; over https with an ID token of the metadata server, as Cloud Run wants it. */
export function upstreamAt(url: string, metadataHost = 'metadata.google.internal'): Upstream {
  const {protocol, host, origin, hostname} = new URL(url)
  if (protocol === 'http:') return {target: host, credentials: credentials.createInsecure()}
  const identity = `http://${metadataHost}/computeMetadata/v1/instance/service-accounts/default/identity`
  const idToken = async () => {
    const response = await fetch(`${identity}?audience=${origin}&format=full`, {headers: {'metadata-flavor': 'Google'}})
    if (!response.ok)
      throw new Error(`Cannot get an ID token for "${origin}": the metadata server says ${response.status}`)
    return response.text()
  }
  return {target: host === hostname ? `${host}:443` : host, credentials: credentials.createSsl(), idToken}
}

/** A client that asks the Ping service at `upstream()`, which is looked up at the first call. */
export class UpstreamClient {
  readonly #upstream: () => Upstream
  #client: Client | undefined

  constructor(upstream: () => Upstream) {
    this.#upstream = upstream
  }

  readonly ask: AskUpstream = async (request, context) => {
    const {idToken} = this.#upstream()
    const metadata = passedOn(context.metadata)
    if (idToken) metadata.set('authorization', `Bearer ${await idToken()}`)
    const response = await this.#send(create(RequestSchema, {message: request.message}), metadata, context)
    return response.pong ?? create(PongSchema)
  }

  close(): void {
    this.#client?.close()
  }

  #send(
    request: MessageShape<typeof RequestSchema>,
    metadata: Metadata,
    {signal, deadline}: CallContext,
  ): Promise<MessageShape<typeof ResponseSchema>> {
    const upstream = this.#upstream()
    this.#client ??= new Client(upstream.target, upstream.credentials, {'grpc.use_local_subchannel_pool': 1})
    const client = this.#client
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        `/${PingService.typeName}/${PingService.method.send.name}`,
        (message) => Buffer.from(toBinary(RequestSchema, message)),
        (bytes) => fromBinary(ResponseSchema, bytes),
        request,
        metadata,
        deadline ? {deadline} : {},
        (error, response) => {
          signal.removeEventListener('abort', cancel)
          if (response) resolve(response)
          else reject(passedThrough(error as ServiceError))
        },
      )
      const cancel = () => call.cancel()
      signal.addEventListener('abort', cancel)
    })
  }
}

function passedOn(metadata: Metadata): Metadata {
  const passed = new Metadata()
  for (const name of ['authorization', 'x-serverless-authorization', 'x-request-id', 'traceparent']) {
    for (const value of metadata.get(name)) passed.add(name, value)
  }
  return passed
}

/** The upstream's own failure, with its details. */
function passedThrough({code, details, metadata}: ServiceError): StatusError {
  const rich = metadata.get('grpc-status-details-bin')[0]
  return new StatusError(code, details, rich instanceof Buffer ? fromBinary(StatusSchema, rich).details : [])
}

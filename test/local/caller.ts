import {
  create,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type StatusObject,
} from '@grpc/grpc-js'

type Input<M extends DescMethod> = MessageInitShape<M['input']>
type Output<M extends DescMethod> = MessageShape<M['output']>

/** A call as its caller sees it. */
export interface Begun<M extends DescMethod> {
  call: ClientDuplexStream<Input<M>, Output<M>>
  /** Resolves when the call has ended, successfully or not. */
  status: Promise<StatusObject>
  /** All replies so far, in order. */
  replies: Output<M>[]
}

export interface BeginOptions extends CallOptions {
  metadata?: Record<string, string>
  /** Whether to leave the replies unread. */
  deaf?: boolean
}

/** A client with its own connection. */
export function clientOf(target: string, channel = credentials.createInsecure()): Client {
  return new Client(target, channel, {'grpc.use_local_subchannel_pool': 1})
}

/** Begins a call of any kind: they do not differ on the wire. */
export function begin<M extends DescMethod>(client: Client, method: M, options: BeginOptions = {}): Begun<M> {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value)
  const call = client.makeBidiStreamRequest<Input<M>, Output<M>>(
    `/${method.parent.typeName}/${method.name}`,
    (message) => Buffer.from(toBinary(method.input, create(method.input, message))),
    (bytes) => fromBinary(method.output, bytes) as Output<M>,
    metadata,
    options,
  )
  const replies: Output<M>[] = []
  // The status has all that is needed.
  call.on('error', () => {})
  if (!options.deaf) call.on('data', (reply: Output<M>) => replies.push(reply))
  return {call, replies, status: new Promise((resolve) => call.on('status', resolve))}
}

/** Sends `requests`, half-closes, and waits for the end of the call. */
export async function ask<M extends DescMethod>(
  client: Client,
  method: M,
  requests: Input<M>[],
  options?: BeginOptions,
): Promise<{status: StatusObject; replies: Output<M>[]}> {
  const {call, replies, status} = begin(client, method, options)
  for (const request of requests) call.write(request)
  call.end()
  return {status: await status, replies}
}

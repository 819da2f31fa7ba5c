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

/** One call as its caller sees it. */
export interface Begun<M extends DescMethod> {
  call: ClientDuplexStream<Input<M>, Output<M>>
  /** Resolves when the call is over, well or not. */
  status: Promise<StatusObject>
  /** Every reply, in order, as they come. */
  replies: Output<M>[]
}

export interface BeginOptions extends CallOptions {
  metadata?: Record<string, string>
  /** Whether to leave the replies unread. */
  deaf?: boolean
}

/** A client with a connection of its own. */
export function clientOf(target: string, channel = credentials.createInsecure()): Client {
  return new Client(target, channel, {'grpc.use_local_subchannel_pool': 1})
}

/** Begins a call of any kind: on the wire they differ in nothing. */
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
  // The status says it all.
  call.on('error', () => {})
  if (!options.deaf) call.on('data', (reply: Output<M>) => replies.push(reply))
  return {call, replies, status: new Promise((resolve) => call.on('status', resolve))}
}

/** A whole call: sends `requests`, ends, and waits for the end. */
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

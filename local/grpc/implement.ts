import type {Readable} from 'node:stream'
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import {type Replies, ReplyWriter} from './reply-writer.ts'
import {StatusError, statusOf} from './status-error.ts'

/** A handler's view of its call. */
export interface CallContext {
  /** As in `/ping.PingService/Send`. */
  readonly method: string
  readonly metadata: Metadata
  readonly requestId: string
  readonly peer: string
  /** When the call ends by itself, if ever. */
  readonly deadline: Date | undefined
  /** Aborted when the call is over before its handler is: its caller went away, or the deadline came. A StatusError. */
  readonly signal: AbortSignal
  /** Sent after the last message: set in it what is to go there. */
  readonly trailer: Metadata
  /** Sends the headers now rather than with the first message. */
  sendHeader(header?: Metadata): void
}

type Awaitable<T> = T | Promise<T>
type Input<M extends DescMethod> = MessageShape<M['input']>
type Output<M extends DescMethod> = MessageInitShape<M['output']>

/** How a method of each kind is written: messages in, messages out. */
interface HandlerOf<M extends DescMethod> {
  unary: (request: Input<M>, context: CallContext) => Awaitable<Output<M>>
  client_streaming: (requests: AsyncIterable<Input<M>>, context: CallContext) => Awaitable<Output<M>>
  server_streaming: (request: Input<M>, context: CallContext) => AsyncIterable<Output<M>>
  bidi_streaming: (requests: AsyncIterable<Input<M>>, context: CallContext) => AsyncIterable<Output<M>>
}

/** The handlers of a service. A method without one is UNIMPLEMENTED. */
export type Handlers<S extends DescService> = {
  [K in keyof S['method']]?: HandlerOf<S['method'][K]>[S['method'][K]['methodKind']]
}

export interface ImplementOptions {
  /** Told of each run of a handler when it begins, with the metadata of its call. `run` never rejects. */
  onRun?: (run: Promise<void>, metadata: Metadata) => void
  /** The message of UNIMPLEMENTED for a method without a handler; left out, grpc-js's own. */
  unimplemented?: ((method: DescMethod) => string) | undefined
}

/** A service with its handlers; `definition` and `handlers` are what `server.addService()` takes. */
export interface Implementation {
  service: DescService
  definition: ServiceDefinition
  handlers: UntypedServiceImplementation
}

/**
 * `handlers` as grpc-js wants them. What a handler throws ends its call: a StatusError as it says, anything else as
 * INTERNAL. Messages are read when the handler asks for them and sent as fast as the caller reads them. Reading and
 * sending throw `context.signal.reason` once the call is over, so a handler that does either ends by itself.
 */
export function implement<S extends DescService>(
  service: S,
  handlers: Handlers<S>,
  {onRun = () => {}, unimplemented}: ImplementOptions = {},
): Implementation {
  const definition: Record<string, MethodDefinition<unknown, Buffer>> = {}
  const implementation: Implementation = {service, definition, handlers: {}}
  for (const method of service.methods) {
    const name = method.localName as keyof S['method'] & string
    const handler = (handlers[name] as AnyHandler | undefined) ?? (unimplemented && missing(unimplemented(method)))
    definition[name] = definitionOf(method)
    if (handler) implementation.handlers[name] = surface[method.methodKind](method, handler, onRun)
  }
  return implementation
}

/** In place of a handler that is not there, of any kind: the first turn of an iteration throws too. */
function missing(message: string): AnyHandler {
  return () => {
    throw new StatusError(status.UNIMPLEMENTED, message)
  }
}

/** The common part of all kinds of calls, a type that grpc-js does not export. */
type AnyCall = Pick<
  ServerUnaryCall<unknown, Buffer>,
  'metadata' | 'getPath' | 'getPeer' | 'getDeadline' | 'sendMetadata'
> & {on(event: 'cancelled', listener: () => void): unknown}
type AnyHandler = (requests: never, context: CallContext) => unknown
type OnRun = NonNullable<ImplementOptions['onRun']>
type Unary = (request: unknown, context: CallContext) => Awaitable<MessageInitShape<DescMessage>>
type Streaming = (request: unknown, context: CallContext) => AsyncIterable<MessageInitShape<DescMessage>>

function definitionOf(method: DescMethod): MethodDefinition<unknown, Buffer> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    // Bytes fields are views of `bytes`, not copies.
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    // Bytes already: see serialize().
    responseSerialize: (bytes) => bytes,
    requestSerialize: (request) => serialize(method.input, request as MessageInitShape<DescMessage>),
    responseDeserialize: (bytes) => bytes,
  }
}

/** A message on the wire. Done here and not by grpc-js, so that a failure to is a handler's failure like any other. */
function serialize(schema: DescMessage, message: MessageInitShape<DescMessage>): Buffer {
  const bytes = toBinary(schema, create(schema, message))
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The kinds of handlers that grpc-js knows. */
const surface = {
  unary(method, handler, onRun): handleUnaryCall<unknown, Buffer> {
    return (call, callback) =>
      onRun(
        reply(call, callback, method, () => call.request, handler as Unary),
        call.metadata,
      )
  },

  client_streaming(method, handler, onRun): handleClientStreamingCall<unknown, Buffer> {
    return (call, callback) =>
      onRun(
        reply(call, callback, method, (signal) => read(call, signal), handler as Unary),
        call.metadata,
      )
  },

  server_streaming(method, handler, onRun): handleServerStreamingCall<unknown, Buffer> {
    return (call) =>
      onRun(
        send(call, method, () => call.request, handler as Streaming),
        call.metadata,
      )
  },

  bidi_streaming(method, handler, onRun): handleBidiStreamingCall<unknown, Buffer> {
    return (call) =>
      onRun(
        send(call, method, (signal) => read(call, signal), handler as Streaming),
        call.metadata,
      )
  },
} as const satisfies Record<
  DescMethod['methodKind'],
  (method: DescMethod, handler: AnyHandler, onRun: OnRun) => UntypedServiceImplementation[string]
>

/** Answers with the one message that `handler` makes of `input`. */
async function reply(
  call: AnyCall,
  callback: sendUnaryData<Buffer>,
  {output}: DescMethod,
  input: (signal: AbortSignal) => unknown,
  handler: Unary,
): Promise<void> {
  const context = new LiveContext(call)
  try {
    const bytes = serialize(output, await handler(input(context.signal), context))
    context.settle()
    callback(null, bytes, context.trailer)
  } catch (error) {
    context.settle()
    callback(statusOf(error, context.trailer))
  }
}

/** Sends what `handler` makes of `input`, one message after the other, and then how it ended. */
async function send(
  call: Replies,
  {output}: DescMethod,
  input: (signal: AbortSignal) => unknown,
  handler: Streaming,
): Promise<void> {
  const context = new LiveContext(call)
  const writer = new ReplyWriter(call, context.signal)
  try {
    for await (const message of handler(input(context.signal), context)) await writer.send(serialize(output, message))
    context.settle()
    call.end(context.trailer)
  } catch (error) {
    context.settle()
    // How grpc-js is told of a status: it leaves after what was written. Nobody listens once the call is over.
    if (!context.signal.aborted) call.emit('error', statusOf(error, context.trailer))
  }
}

class LiveContext implements CallContext {
  readonly method: string
  readonly metadata: Metadata
  readonly requestId: string
  readonly peer: string
  readonly deadline: Date | undefined
  readonly trailer = new Metadata()
  readonly #call: AnyCall
  readonly #controller = new AbortController()
  #settled = false

  constructor(call: AnyCall) {
    const deadline = Number(call.getDeadline())
    this.#call = call
    this.method = call.getPath()
    this.metadata = call.metadata
    this.requestId = String(call.metadata.get('x-request-id')[0] ?? '')
    this.peer = call.getPeer()
    this.deadline = Number.isFinite(deadline) ? new Date(deadline) : undefined
    call.on('cancelled', () => this.#settled || this.#controller.abort(overBecause(this.deadline)))
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  sendHeader(header = new Metadata()): void {
    this.#call.sendMetadata(header)
  }

  /** The handler is done. grpc-js says `cancelled` after a good end too, which is nothing to its handler. */
  settle(): void {
    this.#settled = true
  }
}

function overBecause(deadline: Date | undefined): StatusError {
  return deadline && Date.now() >= deadline.getTime()
    ? new StatusError(status.DEADLINE_EXCEEDED, 'Deadline exceeded')
    : new StatusError(status.CANCELLED, 'Cancelled by the caller')
}

/** The caller's messages. Ends when the caller has ended well, throws when the call is over otherwise. */
async function* read(call: Readable, signal: AbortSignal): AsyncGenerator<unknown> {
  // One message ahead of the handler. grpc-js reads sixteen ahead, which may be 64 MiB, and has no option for it.
  Object.assign((call as Readable & {_readableState: object})._readableState, {highWaterMark: 1})
  try {
    // The iterator's default is to destroy the call when the handler has read enough, and its replies with it.
    for await (const message of call.iterator({destroyOnReturn: false})) yield message
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
  signal.throwIfAborted()
}

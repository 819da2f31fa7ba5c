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
  /** The deadline of the call, if there is one. */
  readonly deadline: Date | undefined
  /** Aborted when the call ends before its handler: by a cancellation or the deadline. Its reason is a StatusError. */
  readonly signal: AbortSignal
  /** The trailers, which are sent after the last message. */
  readonly trailer: Metadata
  /** Sends the initial metadata now, rather than with the first message. */
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
  /** Called at the start of each run of a handler, with the metadata of its call. `run` never rejects. */
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
 * Converts `handlers` for grpc-js. An error of a handler ends its call: a StatusError with its status, any other as INTERNAL. Messages
 * are read when the handler asks for them, and sent with backpressure. Once the call is over, reading and sending throw
 * `context.signal.reason`, so that the handler ends.
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

/** The handler of a method without one, for any kind of method: it throws when called or iterated. */
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
    // Fields of bytes are views of `bytes`, not copies.
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    // Bytes already: see serialize().
    responseSerialize: (bytes) => bytes,
    requestSerialize: (request) => serialize(method.input, request as MessageInitShape<DescMessage>),
    responseDeserialize: (bytes) => bytes,
  }
}

/** Encodes a message. Not done by grpc-js, so that an error is handled like any other error of the handler. */
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

/** Sends the messages that `handler` yields for `input`, and then the status. */
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
    // This is how grpc-js receives a status, which is sent after all written messages. Once the call is over there is no listener.
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

  /** Marks the handler as done: grpc-js emits `cancelled` after a normal end too, which must not reach the handler. */
  settle(): void {
    this.#settled = true
  }
}

function overBecause(deadline: Date | undefined): StatusError {
  return deadline && Date.now() >= deadline.getTime()
    ? new StatusError(status.DEADLINE_EXCEEDED, 'Deadline exceeded')
    : new StatusError(status.CANCELLED, 'Cancelled by the caller')
}

/** Yields the caller's messages. Ends when the caller has half-closed, throws when the call was cancelled or timed out. */
async function* read(call: Readable, signal: AbortSignal): AsyncGenerator<unknown> {
  // Prefetches one message. grpc-js prefetches sixteen, which may be 64 MiB, and has no option for it.
  Object.assign((call as Readable & {_readableState: object})._readableState, {highWaterMark: 1})
  try {
    // By default the iterator would destroy the call, with its replies, when the handler stops reading.
    for await (const message of call.iterator({destroyOnReturn: false})) yield message
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
  signal.throwIfAborted()
}

import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf'
import {Metadata} from '@grpc/grpc-js'
import type {Backend} from '../core/config.ts'
import {contractOf} from '../core/contract.ts'
import {Fault} from '../core/fault.ts'
import type {Life} from '../core/life.ts'
import {type Call, type CallRuntime, pathOf} from './call.ts'
import {invoke} from './calls/interceptors.ts'
import {codec} from './calls.ts'

/** Options of one call. */
export interface CallOptions {
  /** Timeout for the call, in ms; default: 30,000. The deadline of its request is a limit in any case. */
  readonly timeout?: number
  /**
   * Timeout for each message of the response, in ms; default: none beside `timeout`. For server streams, which may last longer
   * than they may be silent.
   */
  readonly messageTimeout?: number | undefined
  /** Metadata of the request. */
  readonly metadata?: Readonly<Record<string, string | Buffer>>
  /** Serializes a request message in place of protobuf-es. */
  readonly serialize?: Call['serialize']
}

type Input<M extends DescMethod> = MessageInitShape<M['input']>
type Output<M extends DescMethod> = MessageShape<M['output']>

/** Starts a stream of request messages. `signal` aborts when the call has ended, so that the stream can end too. */
export type Stream<T> = (signal: AbortSignal) => Iterable<T> | AsyncIterable<T>

/** A function for each method of a service. */
export type ServiceClient<S extends DescService> = {
  [K in keyof S['method']]: S['method'][K] extends infer M
    ? M extends DescMethodUnary<DescMessage, DescMessage>
      ? (life: Life, request: Input<M>, options?: CallOptions) => Promise<Output<M>>
      : M extends DescMethodClientStreaming<DescMessage, DescMessage>
        ? (life: Life, requests: Stream<Input<M>>, options?: CallOptions) => Promise<Output<M>>
        : M extends DescMethodServerStreaming<DescMessage, DescMessage>
          ? (life: Life, request: Input<M>, options?: CallOptions) => AsyncIterable<Output<M>>
          : M extends DescMethodBiDiStreaming<DescMessage, DescMessage>
            ? (life: Life, requests: Stream<Input<M>>, options?: CallOptions) => AsyncIterable<Output<M>>
            : never
    : never
}

const defaultTimeout = 30_000

/** The parts of a runtime that a client needs. */
export interface ClientRuntime extends CallRuntime {
  readonly config: {backendOf(service: string): Backend}
}

/** Options of a client beside the configuration. */
export interface ClientOptions {
  /** The backend to call; default: the one that the configuration names for the service. */
  readonly backend?: Backend
}

/**
 * A typed client of `service`: a function for each of its methods.
 * @throws {ConfigError} when the configuration names no backend for it, and for options of its methods that cannot be read
 * @example
 * const ping = createClient(runtime, PingService)
 * const {pong} = await ping.send(scope, {message: 'hi'})
 */
export function createClient<S extends DescService>(
  runtime: ClientRuntime,
  service: S,
  {backend = runtime.config.backendOf(service.typeName)}: ClientOptions = {},
): ServiceClient<S> {
  contractOf(runtime).learn([service])
  const methods = service.methods.map((method) => [method.localName, caller(runtime, backend, method)])
  return Object.fromEntries(methods) as ServiceClient<S>
}

function caller(runtime: CallRuntime, backend: Backend, method: DescMethod) {
  const many = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming'
  const one = method.methodKind === 'unary' || method.methodKind === 'client_streaming'
  const typed = (init: unknown) => create(method.input, init as MessageInitShape<DescMessage>)
  return (life: Life, input: unknown, options: CallOptions = {}) => {
    const requests = many ? converted(input as Stream<unknown>, typed) : () => [typed(input)]
    const call = callOf(runtime, {life, backend, method, requests}, options)
    return one ? life.track(onlyAnswer(call)) : (invoke(call) as AsyncIterable<Message>)
  }
}

/** A call for `invoke`. */
export function callOf(
  runtime: CallRuntime,
  {life, backend, method, requests}: Pick<Call, 'life' | 'backend' | 'method' | 'requests'>,
  {timeout = defaultTimeout, messageTimeout, metadata = {}, serialize}: CallOptions = {},
): Call {
  const sent = new Metadata()
  for (const [key, value] of Object.entries(metadata)) sent.set(key, value)
  const wire = codec(method)
  return {
    runtime,
    life,
    backend,
    method,
    requests,
    metadata: sent,
    deadline: Date.now() + timeout,
    // A timer of more than 2^31 ms would fire at once.
    ...(messageTimeout !== undefined && messageTimeout < 2 ** 31 && {messageTimeout}),
    serialize: serialize ?? wire.serialize,
    deserialize: wire.deserialize,
  }
}

/**
 * Makes `call` and awaits its only response message.
 * @throws {Fault} INTERNAL when there is none, or more than one
 */
export async function onlyAnswer(call: Call): Promise<Message> {
  let answer: Message | undefined
  for await (const message of invoke(call)) {
    if (answer) throw new Fault('INTERNAL', `${pathOf(call.method).slice(1)} answered more than once`)
    answer = message as Message
  }
  if (!answer) throw new Fault('INTERNAL', `${pathOf(call.method).slice(1)} answered nothing`)
  return answer
}

/** Not a generator: while a generator waits for its source, `return` has no effect. */
function converted(stream: Stream<unknown>, typed: (init: unknown) => Message): Call['requests'] {
  return (signal) => {
    const source = stream(signal)
    const inits = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    return {
      [Symbol.asyncIterator]: () => ({
        async next() {
          const {done, value} = await inits.next()
          return done ? {done, value: undefined} : {done: false, value: typed(value)}
        },
        async return() {
          await inits.return?.()
          return {done: true, value: undefined}
        },
      }),
    }
  }
}

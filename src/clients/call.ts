import type {DescMethod, Message, Registry} from '@bufbuild/protobuf'
import type {Metadata} from '@grpc/grpc-js'
import type {Backend} from '../core/config.ts'
import type {Code} from '../core/fault.ts'
import type {Life} from '../core/life.ts'
import type {CallSpan} from '../core/telemetry/spans.ts'
import type {RetryBudget} from './calls/retry-budget.ts'
import type {Connection} from './connections/connection.ts'
import type {IdTokens} from './identity/id-tokens.ts'

/** A message, or its bytes. */
export type Sendable = Message | Uint8Array

/** Messages that can be sent again while they are in memory. */
export interface Kept {
  readonly isKept: boolean
}

/** The only request message of a call. */
export interface OnlyRequest extends Kept {
  /** The message, for an attempt that sends it now. @throws {Fault} when it cannot be sent (again) */
  begin(): Sendable
  /** Called when the attempt has sent it. */
  sent(): void
  /** Called when no attempt can follow. */
  forget(): void
}

/**
 * Starts the request stream. `signal` aborts when the call ends, for any reason: a function without a parameter gets none.
 * One message is prefetched: reuse a buffer only once the message after the next one is requested. An element that is an
 * iterable holds messages that are ready at the same time: they are written together.
 */
export type Requests<T = Sendable> = (
  signal: AbortSignal,
) => OnlyRequest | Iterable<T> | AsyncIterable<T | Iterable<T> | (Iterable<T> & Kept)>

/** The connections to one backend, for calls. `streaming` is true for all methods that are not unary. */
export interface CallPool {
  readonly budget: RetryBudget
  /** Starts to connect, unless that has started already, for a call that does not need a connection yet. */
  prepare(): void
  /** A connection that is ready now, if there is one. */
  take(streaming: boolean): Connection | undefined
  /**
   * Waits for a connection.
   * @throws {Fault} when there is none in time; the signal's reason
   */
  wait(call: Call, streaming: boolean): Promise<Connection>
  /** Ends the use of a connection from `take` or `wait`. */
  release(connection: Connection, streaming: boolean): void
}

/** What all calls of one runtime share. */
export interface CallRuntime {
  readonly channels: {to(backend: Backend): CallPool}
  readonly idTokens: IdTokens
}

/** One call of any of the four kinds: messages in, messages out. Interceptors may change the fields that are not readonly. */
export interface Call {
  readonly runtime: CallRuntime
  readonly life: Life
  readonly backend: Backend
  readonly method: DescMethod
  /** The request messages. They are read no faster than the backend accepts them. */
  requests: Requests
  readonly metadata: Metadata
  /** The call's span, if the process has an OpenTelemetry SDK. */
  span?: CallSpan
  /** The ID token that the call carries. */
  idToken?: string
  /** The metadata key of that token. */
  idTokenHeader?: string
  /** In ms since the epoch. */
  deadline: number
  /** Whether the deadline is enforced only here and not sent to the backend, because the caller has set none. */
  isDeadlineOurs?: boolean
  /** Timeout for each message of the response, in ms. */
  readonly messageTimeout?: number
  serialize: (message: Message) => Uint8Array
  deserialize: (bytes: Uint8Array) => Message
  /** Message types for error details. Default: the types that the method's proto file imports. */
  types?: Registry
  /** The backend's response metadata: the header is set before the first message, the trailer after the last one. */
  header?: Metadata | undefined
  /** Called when the initial metadata has arrived, which may be long before the first message. */
  onHeader?: () => void
  trailer?: Metadata | undefined
}

/**
 * Runs before a call, which fails if it throws. If it returns a function, that is called with the call's code when the call has ended.
 * It does not see the messages: a generator around those of another costs each message three turns, and an idle stream 1 KiB.
 */
export type Interceptor = (call: Call) => ((code: Code) => void) | undefined

/** Whether `method` answers with a stream. */
export function answersMany({methodKind}: DescMethod): boolean {
  return methodKind === 'server_streaming' || methodKind === 'bidi_streaming'
}

/** `/ping.PingService/Send` */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

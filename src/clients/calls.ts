import {type DescMethod, fromBinary, type Message, type Registry, toBinary} from '@bufbuild/protobuf'
import {type Metadata, status} from '@grpc/grpc-js'
import type {Backend} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {Life} from '../core/life.ts'
import type {Channels} from './channels.ts'
import {Exchange} from './exchange.ts'
import type {IdTokens} from './id-tokens.ts'
import {Outgoing} from './outgoing.ts'
import {Retries} from './retries.ts'
import {faultOf} from './status.ts'

/** A message, or the bytes of one. */
export type Sendable = Message | Uint8Array

/**
 * The messages of a call: asked for with a signal that aborts when the call has ended, however it did. Each is done with
 * when the one after the next is asked for. An iterable in place of a message is of messages that are there at once: they
 * leave together.
 */
export type Requests<T = Sendable> = (signal: AbortSignal) => Iterable<T> | AsyncIterable<T | Iterable<T>>

/** What all calls of one runtime share. */
export interface CallRuntime {
  readonly channels: Channels
  readonly idTokens: IdTokens
}

/** One call of any of the four kinds: messages in, messages out. Interceptors may change what is not readonly. */
export interface Call {
  readonly runtime: CallRuntime
  readonly life: Life
  readonly backend: Backend
  readonly method: DescMethod
  /** What is sent; sent on only as fast as the backend takes it. */
  requests: Requests
  readonly metadata: Metadata
  /** Our ID token that it carries. */
  idToken?: string
  /** The header of that token. */
  idTokenHeader?: string
  /** In ms since the epoch. */
  deadline: number
  /** How long the backend may take for each message of its answer, in ms. */
  readonly messageTimeout?: number
  serialize: (message: Message) => Uint8Array
  deserialize: (bytes: Uint8Array) => Message
  /** Types that details of a failure may be of; those that the method's proto imports unless given. */
  types?: Registry
  /** The backend's metadata: the header is there before the first message, the trailer when the messages have ended. */
  header?: Metadata | undefined
  trailer?: Metadata | undefined
}

/** Makes a call: gives its answers as they come. Iterating no further cancels it. */
export type Invoke = (call: Call) => AsyncIterable<Message>

/** Stands around a whole call: does its part, calls `next`, and hands on what that gives, or throws. */
export type Interceptor = (call: Call, next: Invoke) => AsyncIterable<Message>

/** `invoke` with `interceptors` around it, the first one outermost. */
export function intercepted(invoke: Invoke, interceptors: readonly Interceptor[]): Invoke {
  return interceptors.reduceRight<Invoke>((next, interceptor) => (call) => interceptor(call, next), invoke)
}

/** How a call of `method` looks on the wire. */
export function codec(method: DescMethod): Pick<Call, 'serialize' | 'deserialize'> {
  return {
    serialize: (message) => toBinary(method.input, message as never),
    deserialize: (bytes) => fromBinary(method.output, bytes),
  }
}

let open = 0

/** How many calls have begun and not ended. */
export function openCalls(): number {
  return open
}

/** The call itself: on a connection that has room for it, and once more where that is safe. */
export async function* send(call: Call): AsyncGenerator<Message> {
  const {signal} = call.life
  if (signal.aborted) throw signal.reason
  const pool = call.runtime.channels.to(call.backend)
  const streaming = call.method.methodKind !== 'unary'
  const outgoing = new Outgoing(call)
  let retries: Retries | undefined
  open++
  try {
    for (;;) {
      const connection = pool.take(streaming) ?? (await pool.wait(call, streaming))
      const exchange = new Exchange(call, connection, outgoing)
      try {
        for (let bytes = await exchange.next(); bytes; bytes = await exchange.next()) yield decoded(call, bytes)
      } finally {
        await exchange.close()
        pool.release(connection, streaming)
      }
      const {end, cause} = exchange
      if (cause !== undefined) throw cause
      if (end?.code === status.OK) return pool.budget.succeeded()
      retries ??= new Retries(call, pool.budget, outgoing)
      if (!(await retries.again(exchange))) throw await faultOf(end!, call)
    }
  } finally {
    outgoing.close()
    open--
  }
}

/** `/ping.PingService/Send` */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

function decoded(call: Call, bytes: Buffer): Message {
  try {
    return call.deserialize(bytes)
  } catch (cause) {
    throw new Fault(
      'INTERNAL',
      `The answer of ${pathOf(call.method).slice(1)} is not a ${call.method.output.typeName}`,
      {cause},
    )
  }
}

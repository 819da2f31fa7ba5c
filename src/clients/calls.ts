import {type DescMethod, fromBinary, type Message, type Registry, toBinary} from '@bufbuild/protobuf'
import {type Metadata, type StatusObject, status} from '@grpc/grpc-js'
import type {Backend} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {type Life, over} from '../core/life.ts'
import {turn, within} from '../core/waiting.ts'
import {Batch} from './batch.ts'
import type {Channels} from './channels.ts'
import {connect, connectedChannel} from './connecting.ts'
import {asBuffer, probe, takesFramed} from './grpc-internals.ts'
import type {IdTokens} from './id-tokens.ts'
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
  /** In ms since the epoch. */
  deadline: number
  /** How long the backend may take for each message of its answer, in ms. */
  readonly messageTimeout?: number
  serialize: (message: Message) => Uint8Array
  deserialize: (bytes: Uint8Array) => Message
  /** Types that details of a failure may be of; those that the method's proto imports unless given. */
  types?: Registry
  /** The backend's metadata: the header is there before the first message, the trailer when the messages have ended. */
  header?: Metadata
  trailer?: Metadata
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

const noCall = () => {}
let open = 0

/** How many calls have begun and not ended. */
export function openCalls(): number {
  return open
}

/**
 * The call itself, on the backend's channel.
 *
 * It uses the channel's own call object rather than a Client and its streams: one listener and one write callback serve
 * all four kinds, and none of the events that a stream keeps to itself once the server has ended the call is waited for.
 */
export async function* send(call: Call): AsyncGenerator<Message> {
  const {signal} = call.life
  if (signal.aborted) throw signal.reason
  const channel = connectedChannel(call) ?? (await connect(call))
  const wire = channel.createCall(pathOf(call.method), call.deadline, null, null, null)
  const sourceEnd = new AbortController()
  const received: Buffer[] = []
  const done = Promise.withResolvers<void>()
  let ended: StatusObject | undefined
  let wakeReader = noCall
  let wakeWriter = noCall
  let cause: unknown
  const cancel = (why: unknown) => {
    cause ??= why
    wire.cancelWithStatus(status.CANCELLED, 'Cancelled by the caller')
  }
  const onAbort = () => cancel(signal.reason)
  open++
  signal.addEventListener('abort', onAbort, {once: true})
  wire.start(call.metadata, {
    onReceiveMetadata: (header) => {
      call.header = header
    },
    onReceiveMessage: (bytes) => {
      received.push(bytes)
      wakeReader()
    },
    onReceiveStatus: (final) => {
      ended = final
      call.trailer = final.metadata
      sourceEnd.abort(over)
      // A call that ends while its filters run is begun by grpc-js all the same: it is cancelled again when they have.
      if (final.code !== status.OK && !call.header) setImmediate(() => wire.cancelWithStatus(final.code, final.details))
      wakeReader()
      wakeWriter()
      done.resolve()
    },
  })

  const writeBytes = (bytes: Buffer) =>
    new Promise<void>((resolve) => {
      wakeWriter = resolve
      wire.sendMessageWithContext({callback: () => resolve()}, bytes)
    })

  const bytesOf = (message: Sendable) => (message instanceof Uint8Array ? message : call.serialize(message))
  const write = (message: Sendable) => writeBytes(asBuffer(bytesOf(message)))

  /** In batches, each written when the one before has left, and others get their turn between two. */
  const writeAll = async (messages: Iterable<Sendable>) => {
    let batch = new Batch()
    for (const message of messages) {
      if (ended) return
      batch.add(bytesOf(message))
      if (takesFramed() && !batch.isDue) continue
      await (takesFramed() === undefined ? writeProbe(batch) : writeBytes(batch.toMessage()))
      if (batch.isDue) await turn()
      batch = new Batch()
    }
    if (!ended && !batch.isEmpty) await writeBytes(batch.toMessage())
  }

  const writeProbe = async (batch: Batch) => {
    const {message, done} = probe(batch.toMessage())
    await writeBytes(message)
    if (!ended) done()
  }

  const pump = async () => {
    try {
      const requests = call.requests(sourceEnd.signal)
      if (Symbol.iterator in requests) await pumpList(requests)
      else await pumpStream(requests[Symbol.asyncIterator]())
      if (!ended) wire.halfClose()
    } catch (error) {
      if (!ended) cancel(error)
    }
  }

  const pumpList = async (messages: Iterable<Sendable>) => {
    for (const message of messages) {
      if (ended) return
      await write(message)
    }
  }

  /** Waits for no message once the call has ended, whether its source has heard of that or not. */
  const pumpStream = async (messages: AsyncIterator<Sendable | Iterable<Sendable>>) => {
    let whole = false
    try {
      for (let next = messages.next(); !ended; ) {
        const {done, value} = await within(sourceEnd.signal, next)
        if (done) {
          whole = true
          return
        }
        // One is asked for ahead: while a message is on its way out, the next one comes in.
        next = messages.next()
        next.catch(() => {})
        if (!ended) await (isMany(value) ? writeAll(value) : write(value))
      }
    } catch (error) {
      if (!ended) throw error
    } finally {
      if (!whole) call.life.track(Promise.try(() => messages.return?.()).catch(() => {}))
    }
  }

  const read = () =>
    new Promise<void>((resolve) => {
      wakeReader = resolve
      wire.startRead()
    })

  /** The time that a caller takes to ask for the next message is not the backend's. */
  const readInTime = async (timeout: number) => {
    const timer = setTimeout(() => cancel(noMessage(call, timeout)), timeout)
    await read()
    clearTimeout(timer)
  }

  const pumped = pump()
  try {
    while (!ended) {
      await (call.messageTimeout === undefined ? read() : readInTime(call.messageTimeout))
      const bytes = received.shift()
      if (bytes) yield decoded(call, bytes)
    }
    if (cause !== undefined) throw cause
    if (ended.code !== status.OK) throw await faultOf(ended, call)
  } finally {
    signal.removeEventListener('abort', onAbort)
    if (!ended) cancel(over)
    await done.promise
    await pumped
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

function isMany(value: Sendable | Iterable<Sendable>): value is Iterable<Sendable> {
  return Symbol.iterator in value && !(value instanceof Uint8Array)
}

function noMessage({method}: Call, timeout: number): Fault {
  return new Fault('DEADLINE_EXCEEDED', `${pathOf(method).slice(1)} sent no message for ${timeout / 1000} s`, {
    reason: 'MESSAGE_TIMEOUT',
  })
}

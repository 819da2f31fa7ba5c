import type {ClientHttp2Session, ClientHttp2Stream} from 'node:http2'
import type {Socket} from 'node:net'
import {type Channel, type ChannelCredentials, Metadata, type StatusObject} from '@grpc/grpc-js'

// Code that relies on internals of grpc-js. When an upgrade changes them, these tests fail:
// - ChannelCredentials._createSecureConnector() makes the object whose connect() gets each TCP socket of a channel:
//   test/clients/connecting.test.ts
// - a channel's internalChannel makes the calls that retry and those that do not, has the subchannels and by them the
//   session, and a call has its stream: test/clients/grpc-internals.test.ts
// - the same call ends by endCall() when handleTrailers() is called, and its outputStatus() waits for the reading of all messages
//   when its finalStatus is OK: test/clients/grpc-internals.test.ts
// - a call and its child keep the first message as pendingMessage, after it was sent too: test/clients/grpc-internals.test.ts
// - a message is framed by allocating 5 bytes more, writing gRPC's prefix into them, and calling `message.copy(output, 5)`:
//   test/clients/batches.test.ts; with a grpc-js that does otherwise, each message is written alone
// - the trailers of a call are a Metadata, from which `remove('grpc-message')` takes the message before the status is reported:
//   test/clients/grpc-internals.test.ts
// - behind its filters, a call takes messages with their prefixes: test/clients/grpc-internals.test.ts
// - the status details that grpc-js makes up: test/clients/status.test.ts; those of connections, in causes.ts:
//   test/clients/causes.test.ts

/**
 * `credentials`, changed so that `onSocket` gets each TCP socket of their channel as soon as it is connected, before TLS and
 * HTTP/2 start on it. Closing a channel leaves the socket open while the server is silent: destroy it.
 */
export function watchSockets(credentials: ChannelCredentials, onSocket: (socket: Socket) => void): ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials)
  credentials._createSecureConnector = (...args) => {
    const connector = create(...args)
    const connect = connector.connect.bind(connector)
    connector.connect = (socket) => {
      onSocket(socket)
      return connect(socket)
    }
    return connector
  }
  return credentials
}

/** The internals of a channel that we use. Any of them may be missing after an upgrade. */
interface Inside {
  readonly internalChannel?: {
    createRetryingCall?: unknown
    readonly createLoadBalancingCall?: unknown
    readonly wrappedSubchannels?: Iterable<{
      getRealSubchannel?(): {readonly transport?: {readonly session?: ClientHttp2Session} | null}
    }>
  }
}

/** The HTTP/2 session of a channel, from one turn of the event loop after it has connected; undefined without one. */
export function sessionOf(channel: Channel): ClientHttp2Session | undefined {
  for (const subchannel of (channel as unknown as Inside).internalChannel?.wrappedSubchannels ?? []) {
    const session = subchannel.getRealSubchannel?.().transport?.session
    if (session) return session
  }
  return undefined
}

/**
 * Turns off the channel's retries, so that we make each attempt: the channel knows one connection, we know all. The status
 * of a call then has `progress`, and a call costs less.
 */
export function leaveRetriesToUs(channel: Channel): void {
  const inside = (channel as unknown as Inside).internalChannel
  const single = inside?.createLoadBalancingCall
  if (inside && typeof single === 'function' && typeof inside.createRetryingCall === 'function') {
    inside.createRetryingCall = single
  }
}

/** How far a call got: not sent, refused, or possibly processed. */
export type Progress = 'NOT_STARTED' | 'REFUSED' | 'PROCESSED' | 'DROP'

/** How far the call with the status `end` got. */
export function progressOf(end: StatusObject): Progress | undefined {
  return (end as {readonly progress?: Progress}).progress
}

interface CallInside {
  readonly child?: {readonly child?: {readonly http2Stream?: {readonly id?: number}} | null} | null
}

/** The HTTP/2 stream id of a call; undefined before it has one. */
export function streamOf(call: unknown): number | undefined {
  return (call as CallInside).child?.child?.http2Stream?.id
}

/** Whether a call that has ended got a stream that was given no id: none of its frames has left. */
export function hasStayed(call: unknown): boolean {
  const stream = (call as CallInside).child?.child?.http2Stream
  return stream !== undefined && stream.id === undefined
}

/** Status details of a call whose channel was closed before the call was sent. */
export const closedBefore = 'Channel closed before call started'

/** The internals of a call that we use. Any of them may be missing after an upgrade. */
interface CallInside {
  finalStatus?: {readonly code: number} | null
  readsClosed?: boolean
  readonly http2Stream?: ClientHttp2Stream
  handleTrailers?(headers: unknown): void
  endCall?(status: {readonly code: number}): void
  outputStatus?(): void
  maybeOutputStatus?(): void
}

/**
 * Makes `call`, whose header has arrived, yield all messages that the server sent before an error. grpc-js drops messages that have
 * not been read when the trailers arrive, so a slow reader would lose messages. For successful calls it drops
 * none, so until all messages have been read, the error is presented as OK.
 */
export function keepMessagesBeforeFailure(call: unknown): void {
  const inside = (call as {child?: {child?: CallInside | null} | null} | null)?.child?.child
  const {handleTrailers, endCall, outputStatus, maybeOutputStatus, http2Stream} = inside ?? {}
  if (!inside || !handleTrailers || !endCall || !outputStatus || !maybeOutputStatus || !http2Stream) return
  let isTrailers = false
  let failure: {readonly code: number} | undefined
  inside.handleTrailers = (headers) => {
    isTrailers = true
    handleTrailers.call(inside, headers)
    isTrailers = false
  }
  inside.endCall = (status) => {
    if (isTrailers && status.code !== 0) failure = status
    endCall.call(inside, isTrailers ? {...status, code: 0} : status)
  }
  inside.outputStatus = () => {
    if (failure && inside.finalStatus?.code === 0) inside.finalStatus = failure
    outputStatus.call(inside)
  }
  // A stream that is reset after its trailers emits no more messages and no end.
  http2Stream.once('close', () =>
    setImmediate(() => {
      inside.readsClosed = true
      maybeOutputStatus.call(inside)
    }),
  )
}

/**
 * Corrects `end` of a call whose connection has ended. After a FIN grpc-js reports a reset by the server, and likewise after a GOAWAY
 * with an error, because Node gives each stream its code.
 */
export function endOfBroken(end: StatusObject, goaway = 0): StatusObject {
  const [, code] = /^Received RST_STREAM with code (\d+)(?: \(.*\))?$/.exec(end.details ?? '') ?? []
  if (code === undefined || (code !== '0' && Number(code) !== goaway)) return end
  return {...end, code: 14, details: 'Connection dropped'}
}

const encodedMessage = Symbol('grpc-message')

type WithMessage = Metadata & {[encodedMessage]?: string | Buffer | undefined}

let keeps = false

/**
 * From now on statuses keep `grpc-message` as sent. grpc-js decodes it like a whole URI, which leaves escapes of `/?#:` and others
 * as they are, and this cannot be corrected later: `%252F` would look like `%2F`.
 */
export function keepMessagesAsSent(): void {
  if (keeps) return
  keeps = true
  const {remove} = Metadata.prototype
  Metadata.prototype.remove = function (this: WithMessage, key) {
    if (key === 'grpc-message') this[encodedMessage] = this.get(key)[0]
    remove.call(this, key)
  }
}

/** Runs of bytes in percent-encoding. */
const escapes = /(?:%[\da-f]{2})+/gi

/**
 * The decoded `grpc-message` that a server sent (gRPC over HTTP2, Responses); undefined if it sent none. Text that cannot be decoded is
 * kept as it is.
 */
export function sentMessage({metadata}: Pick<StatusObject, 'metadata'>): string | undefined {
  const message = (metadata as WithMessage)[encodedMessage]
  if (typeof message !== 'string' || !message.includes('%')) return message as string | undefined
  return message.replace(escapes, (bytes) => {
    try {
      return decodeURIComponent(bytes)
    } catch {
      return bytes
    }
  })
}

interface CallInside {
  pendingMessage?: object | null
}

/** Makes `call`, whose only message has been answered, keep it no longer: grpc-js keeps it until the end of the call. */
export function forgetMessage(call: unknown): void {
  for (const inside of [call, (call as CallInside).child] as (CallInside | null | undefined)[]) {
    if (inside?.pendingMessage) inside.pendingMessage = null
  }
}

/** How a call ended without a status of the service. */
export type Ending = 'late' | 'reset' | 'broken' | 'too large' | 'unreadable'

/** Status details that grpc-js 1.14 makes up when a started call breaks. */
const endings: readonly (readonly [details: RegExp, ending: Ending])[] = [
  [/^Deadline exceeded after /, 'late'],
  [/^Received RST_STREAM with code \d+ triggered by internal client error: /, 'broken'],
  [/^(Call cancelled$|Received RST_STREAM with code )/, 'reset'],
  [/^(Connection dropped|Stream refused by server|(read|write) E[A-Z]+)$/, 'broken'],
  [/^(Bandwidth exhausted or memory limit exceeded|Protocol not secure enough)$/, 'broken'],
  [/^(Write error: |Write failed with error |Failed to start HTTP\/2 stream with error )/, 'broken'],
  [/^Failed to decompress (gzip|deflate)-encoded message$/, 'unreadable'],
]

/** Includes the exceeded limit: a server on grpc-js sends the same words with its own limit. */
const tooLarge = /^Received message (?:larger than max \(\d+ vs (\d+)\)|that decompresses to a size larger than (\d+))$/

/** How the call ended, unless the service ended it. `mostReceived` is the channel's limit for a message, in bytes. */
export function endingOf({details, metadata}: StatusObject, mostReceived: number): Ending | undefined {
  if (sentMessage({metadata}) !== undefined) return undefined
  // A message in an encoding that grpc-js does not know ends the call without code and details.
  if (details === undefined) return 'unreadable'
  const [, limit, inflated = limit] = tooLarge.exec(details) ?? []
  if (Number(inflated) === mostReceived) return 'too large'
  return endings.find(([pattern]) => pattern.test(details))?.[1]
}

/** Length of the prefix of each message, in bytes: a compression flag and the message's length. */
export const prefixSize = 5

/** Whether grpc-js frames messages as described above; undefined before the first message. */
let framesByCopy: boolean | undefined

/** Whether grpc-js takes framed() messages, as a probed message has shown; undefined before that. */
export function takesFramed(): boolean | undefined {
  return framesByCopy
}

/** `message`, to be written alone. Call `done` after the write: then takesFramed() has a result. */
export function probe(message: Uint8Array): {message: Buffer; done: () => void} {
  const probed = withCopy(Buffer.from(message), (output, start) => {
    const prefix = new DataView(output.buffer, output.byteOffset, output.length)
    framesByCopy =
      start === prefixSize &&
      output.length === prefixSize + message.length &&
      prefix.getUint8(0) === 0 &&
      prefix.getUint32(1) === message.length
    output.set(message, start)
  })
  const done = () => {
    framesByCopy ??= false
  }
  return {message: probed, done}
}

/**
 * Several messages as one buffer, with a frame for each in place of the one that grpc-js would make.
 * @param size of all messages with their prefixes, in bytes
 */
export function framed(messages: readonly Uint8Array[], size: number): Buffer {
  const frames = Buffer.allocUnsafe(size)
  let at = 0
  for (const message of messages) {
    frames[at] = 0
    frames.writeUInt32BE(message.length, at + 1)
    frames.set(message, at + prefixSize)
    at += prefixSize + message.length
  }
  return withCopy(frames.subarray(prefixSize), (output) => output.set(frames))
}

function withCopy(buffer: Buffer, copy: (output: Uint8Array, start: number) => void): Buffer {
  return Object.assign(buffer, {
    copy: (output: Uint8Array, start = 0) => {
      copy(output, start)
      return buffer.length
    },
  })
}

/** The same bytes as a Buffer, which grpc-js expects, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The context of a message that is sent. */
export interface MessageContext {
  readonly callback?: () => void
}

/** Messages with free bytes for their prefix before them in their buffers. */
const roomy = new WeakSet<Uint8Array>()

/** `message`, before which at least `prefixSize` bytes of its buffer are free. It can be sent without a copy. */
export function withRoom(message: Uint8Array): Uint8Array {
  roomy.add(message)
  return message
}

/** The part of a call behind its filters. */
interface BehindFilters {
  readonly child?: {
    readonly child?: object | null
    sendMessageWithContext?(context: MessageContext, frame: Buffer): void
  } | null
}

/**
 * Sends `message` with its prefix, behind the filters of `call`, which would copy it. All earlier messages must have been written.
 * False if that is not possible. The message must stay as it is until the context's callback.
 */
export function sendInPlace(call: unknown, context: MessageContext, message: Uint8Array): boolean {
  const {child} = call as BehindFilters
  if (!roomy.has(message) || !child?.child || !child.sendMessageWithContext) return false
  const frame = Buffer.from(message.buffer, message.byteOffset - prefixSize, prefixSize + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  child.sendMessageWithContext(context, frame)
  return true
}

import type {ClientHttp2Session, ClientHttp2Stream} from 'node:http2'
import type {Socket} from 'node:net'
import type {Channel, ChannelCredentials, StatusObject} from '@grpc/grpc-js'

// What rests on the insides of grpc-js, for whoever upgrades it. These fail when they change:
// - ChannelCredentials._createSecureConnector() makes the object whose connect() gets each TCP socket of a channel:
//   test/clients/connecting.test.ts
// - a channel's internalChannel makes the calls that retry and those that do not, has the subchannels and by them the
//   session, and a call has its stream: test/clients/grpc-internals.test.ts
// - the same call ends by endCall() when handleTrailers() is called, and its outputStatus() waits for the reading of all messages
//   when its finalStatus is OK: test/clients/grpc-internals.test.ts
// - a message is framed by allocating 5 bytes more, writing gRPC's prefix into them, and calling `message.copy(output, 5)`:
//   test/clients/batches.test.ts; a grpc-js that does otherwise is noticed, and gets each message by itself
// - the status details that grpc-js makes up: test/clients/status.test.ts; those of connections, in causes.ts:
//   test/clients/causes.test.ts

/**
 * `credentials`, changed so that `onSocket` gets each TCP socket of their channel as soon as it is connected, before TLS and
 * HTTP/2 begin on it. A channel that is closed while a server says nothing leaves that socket open: it must be destroyed.
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

/** What we use of the inside of a channel. All of it may be missing after an upgrade. */
interface Inside {
  readonly internalChannel?: {
    createRetryingCall?: unknown
    readonly createLoadBalancingCall?: unknown
    readonly wrappedSubchannels?: Iterable<{
      getRealSubchannel?(): {readonly transport?: {readonly session?: ClientHttp2Session} | null}
    }>
  }
}

/** The HTTP/2 session of a channel that is connected, one turn after it has become so; undefined when there is none. */
export function sessionOf(channel: Channel): ClientHttp2Session | undefined {
  for (const subchannel of (channel as unknown as Inside).internalChannel?.wrappedSubchannels ?? []) {
    const session = subchannel.getRealSubchannel?.().transport?.session
    if (session) return session
  }
  return undefined
}

/**
 * Has the channel repeat no call, so that each attempt is ours: it knows of one connection, we know of all. A call then
 * says by `progress` how far it got, and costs less.
 */
export function leaveRetriesToUs(channel: Channel): void {
  const inside = (channel as unknown as Inside).internalChannel
  const single = inside?.createLoadBalancingCall
  if (inside && typeof single === 'function' && typeof inside.createRetryingCall === 'function') {
    inside.createRetryingCall = single
  }
}

/** How far a call got: it did not leave, its stream was refused, or it may have been processed. */
export type Progress = 'NOT_STARTED' | 'REFUSED' | 'PROCESSED' | 'DROP'

/** How far a call got that ended with `end`. */
export function progressOf(end: StatusObject): Progress | undefined {
  return (end as {readonly progress?: Progress}).progress
}

interface CallInside {
  readonly child?: {readonly child?: {readonly http2Stream?: {readonly id?: number}} | null} | null
}

/** The id of the HTTP/2 stream of a call; undefined when it has none, or none yet. */
export function streamOf(call: unknown): number | undefined {
  return (call as CallInside).child?.child?.http2Stream?.id
}

/** Whether a call that has ended got a stream that was given no id: none of its frames has left. */
export function hasStayed(call: unknown): boolean {
  const stream = (call as CallInside).child?.child?.http2Stream
  return stream !== undefined && stream.id === undefined
}

/** Details of a call that its channel was closed under before it had left. */
export const closedBefore = 'Channel closed before call started'

/** What we use of a call on its connection. All of it may be missing after an upgrade. */
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
 * Has `call`, whose header has come, give all messages that the server sent before it failed: grpc-js drops those that have
 * not been read when the trailers come, so that a slow reader would lose what a fast one gets. Of calls that end well it drops
 * none: until all have been read, a failure looks like OK.
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
  // A stream that is reset behind its trailers gives no more, and no end either.
  http2Stream.once('close', () =>
    setImmediate(() => {
      inside.readsClosed = true
      maybeOutputStatus.call(inside)
    }),
  )
}

/** `end` of a call whose connection has ended: grpc-js takes it for a reset by the server where the connection got a FIN. */
export function endOfBroken(end: StatusObject): StatusObject {
  if (end.details !== 'Received RST_STREAM with code 0 (Call ended without gRPC status)') return end
  return {...end, code: 14, details: 'Connection dropped'}
}

/** How a call ended that no status of the service ended. */
export type Ending = 'late' | 'reset' | 'broken' | 'too large' | 'unreadable'

/** Status details that grpc-js 1.14 makes up when a started call ends: only the text tells them from the service's own. */
const endings: readonly (readonly [details: RegExp, ending: Ending])[] = [
  [/^Deadline exceeded after /, 'late'],
  [/^Received RST_STREAM with code \d+ triggered by internal client error: /, 'broken'],
  [/^(Call cancelled$|Received RST_STREAM with code )/, 'reset'],
  [/^(Connection dropped|Stream refused by server|(read|write) E[A-Z]+)$/, 'broken'],
  [/^(Bandwidth exhausted or memory limit exceeded|Protocol not secure enough)$/, 'broken'],
  [/^(Write error: |Write failed with error |Failed to start HTTP\/2 stream with error )/, 'broken'],
  [/^Failed to decompress (gzip|deflate)-encoded message$/, 'unreadable'],
]

/** With the limit that a message was larger than. A server that is grpc-js says it in the same words, with its own limit. */
const tooLarge = /^Received message (?:larger than max \(\d+ vs (\d+)\)|that decompresses to a size larger than (\d+))$/

/** How the call ended when the service did not end it; `mostReceived` is the channel's limit of a message, in bytes. */
export function endingOf({details}: StatusObject, mostReceived: number): Ending | undefined {
  // A message in an encoding that grpc-js does not know ends the call without code and details.
  if (details === undefined) return 'unreadable'
  const [, limit, inflated = limit] = tooLarge.exec(details) ?? []
  if (Number(inflated) === mostReceived) return 'too large'
  return endings.find(([pattern]) => pattern.test(details))?.[1]
}

/** Bytes before each message of a stream: whether it is compressed, and its length. */
export const prefixSize = 5

/** Whether messages are framed as it is said above; undefined: no message has told yet. */
let framesByCopy: boolean | undefined

/** Whether grpc-js can be given framed() messages: one that was probed has been framed as one expects. */
export function takesFramed(): boolean | undefined {
  return framesByCopy
}

/** `message`, to be written alone; when it has been, `done` must be called, and takesFramed() knows. */
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
 * Messages of a stream as if they were one: it puts their frames in place of the one that grpc-js makes.
 * @param size bytes of all of them with their prefixes
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

/** grpc-js expects Buffers: the same bytes, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

import {randomUUID} from 'node:crypto'
import {constants, type ServerHttp2Stream} from 'node:http2'
import {
  type Deadline,
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js'
import type {Open} from '../open.ts'
import {streamBeingOpened} from './http2-server.ts'
import {causeOf} from './status-error.ts'

/** The record of an ended call. */
export interface CallRecord {
  /** As in `/ping.PingService/Send`. */
  method: string
  /** The code's name, as in `NOT_FOUND`. */
  code: string
  /** The message that the caller got beside the code. */
  message: string
  latencyMs: number
  requestId: string
  peer: string
  /** The handler's error, if the caller got only INTERNAL. */
  error?: unknown
}

/**
 * Prevents that a cancellation looks like the end of a client stream. When Node's HTTP/2 client, and so grpc-js, cancels a call, it sends
 * END_STREAM before RST_STREAM, and a handler that commits at the end would keep an incomplete upload. So the end of a client stream is
 * held back for one PING: when the answer arrives, a reset has arrived too, if there is one. Must be the first in the chain.
 */
export const resetIsNoEnd: ServerInterceptor = ({requestStream}, next) => {
  const stream = streamBeingOpened()
  if (!requestStream || !stream) return new ServerInterceptingCall(next)
  return new ServerInterceptingCall(next, {
    start: (begin) => begin({onReceiveHalfClose: (pass) => afterPing(stream, () => isReset(stream) || pass())}),
  })
}

/** Passes one record for each ended call to `sink`. A call without an `x-request-id` gets one. */
export function recordCalls(sink: (record: CallRecord) => void): ServerInterceptor {
  return ({path: method}, next) => {
    const startedAt = performance.now()
    const peer = next.getPeer()
    let requestId = ''
    let sent: {code: status; details: string; metadata?: Metadata | null} | undefined

    function over(): void {
      const {code, details: message, metadata} = sent ?? unsent(next.getDeadline())
      const latencyMs = Math.round((performance.now() - startedAt) * 100) / 100
      const error = causeOf(metadata)
      sink({method, code: status[code], message, latencyMs, requestId, peer, ...(error !== undefined && {error})})
    }

    return new ServerInterceptingCall(next, {
      start: (begin) =>
        begin({
          onReceiveMetadata: (metadata, pass) => {
            requestId = requestIdOf(metadata)
            pass(metadata)
          },
          // grpc-js calls this at the end of every call, also of a successful one.
          onCancel: over,
        }),
      sendStatus: (end, pass) => {
        sent ??= {...end, code: end.code ?? status.UNKNOWN, details: end.details ?? ''}
        pass(end)
      },
    })
  }
}

/** Keeps the open calls in `open`, each by its metadata. */
export function trackCalls(open: Open<Metadata>): ServerInterceptor {
  return (_method, next) => {
    let call: Metadata | undefined
    return new ServerInterceptingCall(next, {
      start: (begin) =>
        begin({
          onReceiveMetadata: (metadata, pass) => {
            call = metadata
            open.add(metadata)
            pass(metadata)
          },
          onCancel: () => call && open.delete(call),
        }),
    })
  }
}

/**
 * Ends a call with DEADLINE_EXCEEDED at the caller's deadline or after `limitOf(method)` ms, whichever comes first. Cancels its handler
 * at that moment, even if the status cannot be sent because the caller does not read.
 */
export function limitTime(limitOf: (method: string) => number | undefined): ServerInterceptor {
  return ({path}, next) => {
    const deadline = Math.min(Number(next.getDeadline()), Date.now() + (limitOf(path) ?? Number.POSITIVE_INFINITY))
    return deadline === Number.POSITIVE_INFINITY ? new ServerInterceptingCall(next) : new LimitedCall(next, deadline)
  }
}

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]

class LimitedCall extends ServerInterceptingCall {
  readonly #next: ServerInterceptingCallInterface
  readonly #deadline: number
  #expired = false

  constructor(next: ServerInterceptingCallInterface, deadline: number) {
    super(next)
    this.#next = next
    this.#deadline = deadline
  }

  override getDeadline(): Deadline {
    return this.#deadline
  }

  override start(listener: Listener): void {
    const expire = () => {
      this.#expired = true
      this.#next.sendStatus({code: status.DEADLINE_EXCEEDED, details: 'Deadline exceeded'})
      listener.onCancel()
    }
    // A timer of more than 2^31 ms would fire at once.
    const timer = setTimeout(expire, Math.min(Math.max(0, this.#deadline - Date.now()), 2 ** 31 - 1))
    super.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message) => this.#expired || listener.onReceiveMessage(message),
      onReceiveHalfClose: () => this.#expired || listener.onReceiveHalfClose(),
      onCancel: () => {
        clearTimeout(timer)
        listener.onCancel()
      },
    })
  }

  override sendMetadata(metadata: Metadata): void {
    if (!this.#expired) super.sendMetadata(metadata)
  }

  override sendMessage(...message: Parameters<ServerInterceptingCall['sendMessage']>): void {
    if (!this.#expired) super.sendMessage(...message)
  }

  override sendStatus(end: Parameters<ServerInterceptingCall['sendStatus']>[0]): void {
    if (!this.#expired) super.sendStatus(end)
  }
}

/** The call's id: its caller's, or else a new one, put into `metadata` for the handler. */
function requestIdOf(metadata: Metadata): string {
  const given = metadata.get('x-request-id')[0]
  if (given !== undefined) return String(given)
  const made = randomUUID()
  metadata.set('x-request-id', made)
  return made
}

/** The status of a call that ended before its handler, for example by grpc-js at the deadline. */
function unsent(deadline: Deadline): {code: status; details: string; metadata?: Metadata} {
  return Date.now() >= Number(deadline)
    ? {code: status.DEADLINE_EXCEEDED, details: 'Deadline exceeded'}
    : {code: status.CANCELLED, details: 'Cancelled by the caller'}
}

/** Whether the stream was reset. `aborted` alone is not enough: it is set only when all received data has been read. */
function isReset(stream: ServerHttp2Stream): boolean {
  return stream.aborted || stream.destroyed || stream.rstCode !== constants.NGHTTP2_NO_ERROR
}

/** Calls `then` when the peer has answered a PING on the stream's connection, or when the connection has ended. */
function afterPing({session, destroyed}: ServerHttp2Stream, then: () => void): void {
  if (destroyed || !session?.ping(() => then())) then()
}

import {type DescMessage, type Message, toBinary} from '@bufbuild/protobuf'
import type {Kept, OnlyRequest, Requests} from '../clients/call.ts'
import {Fault} from '../core/fault.ts'
import {turn, within} from '../core/waiting.ts'
import {hasBody} from '../http/request/body.ts'
import {partsOf} from '../http/request/multipart.ts'
import type {Scope} from '../http/scope.ts'
import type {Exchange, RequestReading} from '../transcoding/exchange.ts'
import type {MessageBatch, MessageStream} from '../transcoding/message-stream.ts'

/** Limits for reading a request. */
export interface RequestLimits {
  /** Limit for a buffered body, in bytes. */
  readonly maxBodyBytes: number
  /** Limit for the parts of a multipart body. */
  readonly maxBodyValues: number
}

/** Size of a body, in bytes, from which decoding can take tens of milliseconds. */
export const largeBody = 8 * 1024

/**
 * The request messages of a call: one that is read here, or those of a stream, which are read as they arrive. Each message is encoded
 * to protobuf as soon as it is decoded, so that only one is in memory as an object, which takes many times the body's size.
 * @throws {Fault} 400, 413, 415 or 429
 */
export async function readRequests(scope: Scope, exchange: Exchange, limits: RequestLimits): Promise<Requests> {
  const {request, input} = exchange
  const isSent = hasBody(scope.headers)
  if (isSent) scope.refuseCompressed()
  switch (request.body) {
    case 'none': {
      // First, so that an error in path or query is reported before the body has arrived.
      const message = bytesOf(input, request.message())
      if (isSent && request.check) await refuseBody(scope, request.check)
      return () => [message]
    }
    case 'whole': {
      if (!isSent) {
        const message = bytesOf(input, request.message())
        return () => [message]
      }
      const body = await scope.bytes(limits.maxBodyBytes)
      if (body.length > largeBody) await turn()
      return onlyRequest(scope, bytesOf(input, request.message(body)))
    }
    case 'parts': {
      const parts = await partsOf(scope, {maxBytes: limits.maxBodyBytes, maxParts: limits.maxBodyValues})
      await turn()
      return onlyRequest(scope, bytesOf(input, request.message(parts)))
    }
    case 'stream':
      return () => batchesOf(scope, input, request.messages)
  }
}

type BodyCheck = NonNullable<Extract<RequestReading, {body: 'none'}>['check']>

/** Reads the body of a rule that takes none. @throws {Fault} 400 as soon as it is neither empty nor `{}` */
async function refuseBody({body}: Scope, check: BodyCheck): Promise<void> {
  for await (const piece of body) check.push(piece)
  check.end()
}

function bytesOf(desc: DescMessage, message: Message): Uint8Array {
  return toBinary(desc, message as never)
}

/**
 * One message, made from a body. It counts as held until it has been sent. Then it is kept for a retry of the call, until others need
 * the room.
 * @throws {Fault} 429
 */
export function onlyRequest(scope: Scope, message: Uint8Array): Requests {
  const request = new BodyRequest(scope, message)
  return () => request
}

class BodyRequest implements OnlyRequest {
  readonly #scope: Scope
  #message: Uint8Array | undefined

  constructor(scope: Scope, message: Uint8Array) {
    this.#scope = scope
    this.#message = message
    scope.hold(message.length)
  }

  get isKept(): boolean {
    return this.#message !== undefined
  }

  begin(): Uint8Array {
    const message = this.#message
    if (!message) throw dropped()
    this.#scope.hold(message.length)
    return message
  }

  sent(): void {
    if (!this.#message) return
    this.#scope.keep(this.#message.length, () => {
      this.#message = undefined
    })
  }

  forget(): void {
    this.#message = undefined
    this.#scope.hold(0)
  }
}

/** The error if the message was dropped in the pause before the next attempt. */
function dropped(): Fault {
  return new Fault('UNAVAILABLE', 'The backend did not take the request, which is no longer kept: send it again', {
    reason: 'BACKEND_UNAVAILABLE',
    retryAfter: 1,
    hint: 'GATEWAY_MAX_DECODING_BYTES is the limit for all requests that are kept',
  })
}

/** Limit for a batch of a stream that is kept for a retry, by its size as received, in bytes. */
const maxKept = 16 * 1024

/**
 * The bytes of `messages` that arrived together, each encoded on demand. A small batch is kept, so that it can be sent again.
 * @param size size of the received data, in bytes
 * @param onEnd called when they have been sent, or when the first attempt to send them has ended
 */
export function batchOf<T>(
  messages: Iterable<T>,
  {size, encode, onEnd}: {size: number; encode: (message: T) => Uint8Array; onEnd: () => void},
): Iterable<Uint8Array> & Kept {
  const isKept = size <= maxKept
  const made: Uint8Array[] = []
  const source = messages[Symbol.iterator]()
  let hasEnded = false
  return {
    isKept,
    *[Symbol.iterator]() {
      try {
        yield* made
        for (let next = source.next(); !next.done; next = source.next()) {
          const bytes = encode(next.value)
          if (isKept) made.push(bytes)
          yield bytes
        }
      } finally {
        if (!hasEnded) onEnd()
        hasEnded = true
      }
    },
  }
}

/**
 * The messages of a stream, in batches that arrived together. Each message is decoded when it is asked for. The next batch is read when
 * this one has been sent, or its call has ended.
 */
async function* batchesOf(
  scope: Scope,
  input: DescMessage,
  stream: MessageStream,
): AsyncGenerator<Iterable<Uint8Array> & Kept> {
  function encoded({messages, size}: MessageBatch, sent: () => void) {
    const onEnd = () => {
      scope.holdPart(stream.held)
      sent()
    }
    return batchOf(messages, {size, encode: (message) => bytesOf(input, message), onEnd})
  }
  for await (const bytes of slices(scope.body, stream.maxSlice)) {
    const batch = stream.push(bytes)
    if (!batch?.size) scope.holdPart(stream.held)
    else scope.hold(batch.size + stream.held)
    if (!batch) continue
    if (batch.size > largeBody) await turn()
    const {promise, resolve} = Promise.withResolvers<void>()
    yield encoded(batch, resolve)
    await within(scope.signal, promise)
  }
  const rest = stream.end()
  if (rest.count > 0) yield encoded(rest, () => {})
  else scope.holdPart(stream.held)
}

export async function* slices(body: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    for (let start = 0; start < piece.length; start += size) yield piece.subarray(start, start + size)
  }
}

import {type DescMessage, type Message, toBinary} from '@bufbuild/protobuf'
import type {Requests} from '../clients/call.ts'
import {turn, within} from '../core/waiting.ts'
import {hasBody} from '../http/body.ts'
import {partsOf} from '../http/multipart.ts'
import type {Scope} from '../http/scope.ts'
import type {Exchange, RequestReading} from '../transcoding/exchange.ts'
import type {MessageBatch, MessageStream} from '../transcoding/message-stream.ts'

/** How much of a request is read. */
export interface RequestLimits {
  /** Limit for a body that is read whole, in bytes. */
  readonly maxBodyBytes: number
  /** Limit for the parts of a multipart body. */
  readonly maxBodyValues: number
}

/** A body of this many bytes can take tens of milliseconds to decode. */
export const largeBody = 8 * 1024

/**
 * The requests of a call: one that is read here, or those of a stream, which are read as they arrive. Each message is made
 * into its bytes as soon as it is decoded: in memory it takes many times the body's size, and there is only one at a time.
 * @throws {Fault} 400, 413, 415 or 429 for what cannot be read
 */
export async function readRequests(scope: Scope, exchange: Exchange, limits: RequestLimits): Promise<Requests> {
  const {request, input} = exchange
  const isSent = hasBody(scope.headers)
  if (isSent) scope.refuseCompressed()
  switch (request.body) {
    case 'none': {
      // First: a problem with path or query does not wait for the end of a body.
      const message = bytesOf(input, request.message())
      if (isSent && request.check) await refuseBody(scope, request.check)
      return onlyRequest(scope, message)
    }
    case 'whole': {
      const body = isSent ? await scope.bytes(limits.maxBodyBytes) : undefined
      if (body && body.length > largeBody) await turn()
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

/** @throws {Fault} 400 as soon as a byte of a body says something */
async function refuseBody({body}: Scope, check: BodyCheck): Promise<void> {
  for await (const piece of body) check.push(piece)
  check.end()
}

function bytesOf(desc: DescMessage, message: Message): Uint8Array {
  return toBinary(desc, message as never)
}

/** One message. It counts as held, as part of the body, until it has been sent. */
export function onlyRequest(scope: Scope, message: Uint8Array): Requests {
  let held: Uint8Array | undefined = message
  return function* () {
    if (held) yield held
    held = undefined
    scope.hold(0)
  }
}

/**
 * The messages of a stream: those that came together, each decoded when it is asked for. No more is read before they have been
 * sent on, or their call has ended.
 */
async function* batchesOf(
  scope: Scope,
  input: DescMessage,
  stream: MessageStream,
): AsyncGenerator<Iterable<Uint8Array>> {
  function* encoded({messages}: MessageBatch, sent: () => void) {
    try {
      for (const message of messages) yield bytesOf(input, message)
    } finally {
      scope.holdPart(stream.held)
      sent()
    }
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
  yield encoded(stream.end(), () => {})
}

export async function* slices(body: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    for (let start = 0; start < piece.length; start += size) yield piece.subarray(start, start + size)
  }
}

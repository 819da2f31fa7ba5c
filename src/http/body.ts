import type {IncomingHttpHeaders, IncomingMessage} from 'node:http'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {within} from '../core/waiting.ts'

/** What is read whole is at most this long unless a function says otherwise, in bytes. */
const defaultLimit = 1024 * 1024

/** The body's bytes as they arrive; reading stops when `signal` aborts, and what is not read is not buffered. */
export async function* bodyOf(request: IncomingMessage, signal: AbortSignal): AsyncGenerator<Buffer> {
  // Leaving the loop must not destroy the request: its socket is the one that the answer goes out on.
  const pieces = request.iterator({destroyOnReturn: false}) as AsyncIterator<Buffer>
  for (;;) {
    const {done, value} = await within(signal, pieces.next())
    if (done) return
    yield value
  }
}

/** Whether a request has a body, which may turn out to be empty; nothing has to be waited for where it has none. */
export function hasBody({'content-length': announced, 'transfer-encoding': coding}: IncomingHttpHeaders): boolean {
  // RFC 9112, 6.3.
  return coding !== undefined || Number(announced) > 0
}

/**
 * The whole body of `request`.
 * @throws {Fault} 413 beyond `limit` bytes; 415 when it is compressed: inflating is not limited by what arrives
 */
export async function wholeBody(request: IncomingMessage, signal: AbortSignal, limit = defaultLimit): Promise<Buffer> {
  if (!hasBody(request.headers)) return Buffer.alloc(0)
  refuseCompressed(request.headers)
  if (Number(request.headers['content-length']) > limit) throw tooLong(limit)
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of bodyOf(request, signal)) {
    length += piece.length
    if (length > limit) throw tooLong(limit)
    pieces.push(piece)
  }
  return Buffer.concat(pieces, length)
}

/** Reads what is left of the body into nothing: until it has been read, the connection's next request is not heard. */
export function discard(request: IncomingMessage): void {
  // A stream with such a listener, as a reader that left half-way leaves behind, does not flow.
  request.removeAllListeners('readable')
  request.resume()
}

/** @throws {Fault} 415 when the body is compressed */
export function refuseCompressed(headers: IncomingHttpHeaders): void {
  const encoding = headers['content-encoding']
  if (!encoding || encoding.toLowerCase() === 'identity') return
  throw Fault.invalid(
    'content-encoding',
    `The body is encoded with "${shortened(encoding)}": expected no content coding`,
    {http: 415},
  )
}

function tooLong(limit: number): Fault {
  return Fault.invalid('body', `The body is longer than ${limit} bytes`, {http: 413})
}

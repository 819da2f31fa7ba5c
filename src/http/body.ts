import type {IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {within} from '../core/waiting.ts'
import type {BodyAccount} from './admission.ts'
import type {Scope} from './scope.ts'

/** Default limit for a body that is read whole, in bytes. */
const defaultLimit = 1024 * 1024

/** How much of a body that nobody reads is read into nothing behind the answer, in bytes. */
const mostDiscarded = 1024 * 1024

/**
 * The body's bytes as they arrive; reading stops when `signal` aborts, and what is not read is not buffered. `begins` is
 * called before the first byte is read.
 */
export async function* bodyOf(
  request: IncomingMessage,
  signal: AbortSignal,
  begins: () => void,
): AsyncGenerator<Buffer> {
  begins()
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
 * The whole body of a request, compressed or not; its bytes are booked in `account`, and stay there.
 * @throws {Fault} 413 beyond `limit` bytes, 429 beyond what the instance decodes at once
 */
export async function wholeBody(
  {headers, body}: Pick<Scope, 'headers' | 'body'>,
  account: BodyAccount,
  limit = defaultLimit,
): Promise<Buffer> {
  if (!hasBody(headers)) return Buffer.alloc(0)
  const announced = Number(headers['content-length'] ?? 0)
  if (announced > limit) throw tooLong(limit)
  account.expect(announced)
  const buffer = new BodyBuffer(account, announced || limit)
  for await (const piece of body) {
    if (buffer.length + piece.length > limit) throw tooLong(limit)
    buffer.add(piece)
  }
  account.hold(buffer.length)
  return buffer.bytes
}

/** `body`, which has been read before. @throws {Fault} 413 beyond `limit` bytes */
export function readBefore(body: Buffer, limit = defaultLimit): Buffer {
  if (body.length > limit) throw tooLong(limit)
  return body
}

/** The least that a buffer is made for when it has to grow, in bytes. */
const leastGrowth = 4096

/**
 * Gathers the pieces of a body, each copied as it comes: a body can come in a million pieces, and an object each would take
 * much more than what is in it.
 */
class BodyBuffer {
  readonly #account: BodyAccount
  readonly #most: number
  #buffer: Buffer = Buffer.alloc(0)
  length = 0

  /** @param most how long the body may become */
  constructor(account: BodyAccount, most: number) {
    this.#account = account
    this.#most = most
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length)
  }

  /** @throws {Fault} 429 */
  add(piece: Buffer): void {
    const length = this.length + piece.length
    this.#account.holdPart(length)
    if (length > this.#buffer.length) {
      // Once half of it is there, room for all of it.
      const size = 2 * length >= this.#most ? this.#most : Math.max(leastGrowth, Math.ceil(1.5 * length))
      this.#buffer = this.length === 0 ? piece : Buffer.concat([this.bytes], size)
    }
    if (this.length > 0) piece.copy(this.#buffer, this.length)
    this.length = length
  }
}

/**
 * Reads what is left of the body into nothing, while the answer leaves: until it has been read, the connection's next
 * request is not heard. Of a longer body no more is read than `mostDiscarded`: the connection ends with `response`.
 */
export function discard(request: IncomingMessage, response: ServerResponse): void {
  // A stream with such a listener, as a reader that left half-way leaves behind, does not flow.
  request.removeAllListeners('readable')
  let left = mostDiscarded
  const count = (piece: Buffer) => {
    left -= piece.length
    if (left >= 0) return
    request.off('data', count).pause()
    if (response.writableFinished) request.socket.destroySoon()
    else response.once('finish', () => request.socket.destroySoon())
  }
  if (!request.complete) request.on('data', count)
  request.resume()
}

/** Whether so much of the body is announced that the connection will end rather than have it read into nothing. */
export function isTooLongToDiscard({complete, headers}: IncomingMessage): boolean {
  return !complete && Number(headers['content-length']) > mostDiscarded
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

import type {IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {within} from '../core/waiting.ts'
import type {BodyAccount} from './admission.ts'
import type {Scope} from './scope.ts'

/** Default limit for a body that is read whole, in bytes. */
const defaultLimit = 1024 * 1024

/** Limit for the rest of a body that is read and discarded after the response, in bytes. */
const maxDiscarded = 1024 * 1024

/**
 * The body's bytes as they arrive. Reading stops when `signal` aborts, and nothing is buffered ahead. `begins` is called
 * before the first byte is read.
 */
export async function* bodyOf(
  request: IncomingMessage,
  signal: AbortSignal,
  begins: () => void,
): AsyncGenerator<Buffer> {
  begins()
  // Leaving the loop must not destroy the request: the response needs its socket.
  const pieces = request.iterator({destroyOnReturn: false}) as AsyncIterator<Buffer>
  for (;;) {
    const {done, value} = await within(signal, pieces.next())
    if (done) return
    yield value
  }
}

/** Whether a request has a body; it may turn out to be empty. */
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

/** Least size of a buffer that grows, in bytes. */
const minGrowth = 4096

/**
 * A body's bytes in one buffer. Each piece is copied as it comes: a body can come in a million pieces, and a Buffer takes
 * much more memory than a small piece.
 */
class BodyBuffer {
  readonly #account: BodyAccount
  readonly #max: number
  #buffer: Buffer = Buffer.alloc(0)
  length = 0

  /** @param max limit for the body, in bytes */
  constructor(account: BodyAccount, max: number) {
    this.#account = account
    this.#max = max
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
      const size = 2 * length >= this.#max ? this.#max : Math.max(minGrowth, Math.ceil(1.5 * length))
      this.#buffer = this.length === 0 ? piece : Buffer.concat([this.bytes], size)
    }
    if (this.length > 0) piece.copy(this.#buffer, this.length)
    this.length = length
  }
}

/**
 * Reads and discards the rest of the body while the response leaves: the connection's next request comes after it. Of a
 * longer rest only `maxDiscarded` bytes are read, and the connection ends with `response`.
 */
export function discard(request: IncomingMessage, response: ServerResponse): void {
  // A stream with such a listener, as a reader that left half-way leaves behind, does not flow.
  request.removeAllListeners('readable')
  let left = maxDiscarded
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

/** Whether the announced body is too long to be discarded, so that the connection has to end. */
export function isTooLongToDiscard({complete, headers}: IncomingMessage): boolean {
  return !complete && Number(headers['content-length']) > maxDiscarded
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

import type {IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {within} from '../../core/waiting.ts'
import type {BodyAccount} from '../admission.ts'
import type {Scope} from '../scope.ts'

/** Default limit for a buffered body, in bytes. */
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
 * The whole body of a request, compressed or not; its bytes are counted in `account`, and stay there.
 * @throws {Fault} 413 beyond `limit` bytes, 429 beyond the instance's limit for decoding
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
  const buffer = new BodyBuffer(account)
  for await (const piece of body) {
    if (buffer.length + piece.length > limit) throw tooLong(limit)
    buffer.add(piece)
  }
  account.hold(buffer.length)
  return buffer.bytes
}

/** Returns `body`, which has been read before. @throws {Fault} 413 beyond `limit` bytes */
export function readBefore(body: Buffer, limit = defaultLimit): Buffer {
  if (body.length > limit) throw tooLong(limit)
  return body
}

/** Size of a block that small pieces are copied into, in bytes. */
const blockSize = 4096

/**
 * The bytes of a body, copied once. Small pieces are combined in blocks: a body can arrive in a million pieces, and a
 * Buffer takes much more memory than a small piece.
 */
class BodyBuffer {
  readonly #account: BodyAccount
  readonly #blocks: Buffer[] = []
  /** The free part of the last block. */
  #room = Buffer.alloc(0)
  length = 0

  constructor(account: BodyAccount) {
    this.#account = account
  }

  get bytes(): Buffer {
    const [first] = this.#blocks
    return first && this.#blocks.length === 1
      ? first.subarray(0, this.length)
      : Buffer.concat(this.#blocks, this.length)
  }

  /** @throws {Fault} 429 */
  add(piece: Buffer): void {
    this.#account.holdPart(this.length + piece.length)
    this.length += piece.length
    const copied = piece.copy(this.#room)
    this.#room = this.#room.subarray(copied)
    this.#begin(piece.subarray(copied))
  }

  /** Stores the rest of a piece that does not fit into the last block. */
  #begin(rest: Buffer): void {
    // Most bodies arrive in one piece.
    if (rest.length >= blockSize || this.#blocks.length === 0) this.#blocks.push(rest)
    else if (rest.length > 0) {
      const block = Buffer.allocUnsafe(blockSize)
      this.#blocks.push(block)
      this.#room = block.subarray(rest.copy(block))
    }
  }
}

/**
 * Reads and discards the rest of the body while the response is sent, because the connection's next request follows it. Of a
 * longer rest only `maxDiscarded` bytes are read, and the connection ends with `response`.
 */
export function discard(request: IncomingMessage, response: ServerResponse): void {
  // A reader that stopped early leaves such a listener behind, with which the stream would not flow.
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

/** @throws {Fault} 415 when the body is compressed, with Accept-Encoding: it is not the media type (RFC 9110 12.5.3) */
export function refuseCompressed(headers: IncomingHttpHeaders): void {
  const encoding = headers['content-encoding']
  if (!encoding || encoding.toLowerCase() === 'identity') return
  throw Fault.invalid(
    'content-encoding',
    `The body is encoded with "${shortened(encoding)}": expected no content coding`,
    {http: 415, headers: {'accept-encoding': 'identity'}},
  )
}

function tooLong(limit: number): Fault {
  return Fault.invalid('body', `The body is longer than ${limit} bytes`, {http: 413})
}

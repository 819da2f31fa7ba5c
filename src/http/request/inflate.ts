import {createGunzip} from 'node:zlib'
import {Fault} from '../../core/fault.ts'

/** How a body, or a message in it, is inflated. */
export interface Inflating {
  /** Limit for what comes out, in bytes. */
  readonly limit: number
  /** Told of what has come out, before more of it does. @throws {Fault} when there is no room for it */
  hold(bytes: number): void
}

/**
 * What `bytes` of gzip are, which can be a thousand times as much: no more than the limit is ever made of them.
 * @throws {Fault} 400 for what is not gzip, 413 beyond the limit, and what `hold` throws
 */
export async function inflated(bytes: Uint8Array, {limit, hold}: Inflating): Promise<Uint8Array> {
  const gunzip = createGunzip()
  gunzip.end(bytes)
  const pieces: Uint8Array[] = []
  let length = 0
  try {
    for await (const piece of gunzip as AsyncIterable<Uint8Array>) {
      length += piece.length
      if (length > limit)
        throw Fault.invalid('body', `The body is longer than ${limit} bytes when inflated`, {http: 413})
      hold(length)
      pieces.push(piece)
    }
  } catch (error) {
    if (error instanceof Fault) throw error
    throw Fault.invalid('body', 'Cannot inflate the body: it is not gzip', {cause: error})
  } finally {
    gunzip.destroy()
  }
  return Buffer.concat(pieces)
}

/** The most bytes of gzip that `bytes` can become: what cannot be made shorter gets a little longer. */
export function mostDeflated(bytes: number): number {
  return bytes + Math.ceil(bytes / 1000) + 64
}

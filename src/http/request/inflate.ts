import {createGunzip} from 'node:zlib'
import {Fault} from '../../core/fault.ts'

/** Options for decompressing a body, or a message in it. */
export interface Inflating {
  /** Limit for the decompressed data, in bytes. */
  readonly limit: number
  /** Called with the size of the decompressed data so far, before there is more of it. @throws {Fault} when there is no room for it */
  hold(bytes: number): void
}

/**
 * Decompresses `bytes` of gzip. The result may be a thousand times as long, so decompression stops at the limit.
 * @throws {Fault} 400 for data that is not gzip, 413 beyond the limit, and any error of `hold`
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

/** Maximum size of `bytes` after compression with gzip, which makes incompressible data a little longer. */
export function mostDeflated(bytes: number): number {
  return bytes + Math.ceil(bytes / 1000) + 64
}

/** The sizes of the chunks that `chunksOf` yields. */
export interface ChunkOptions {
  /** Bytes in each chunk except the last one. */
  readonly size: number
  /** Bytes reserved before each chunk in its buffer, for the frame that the sender writes. */
  readonly headroom: number
}

/** A part of an upload. */
export interface Chunk {
  readonly bytes: Uint8Array
  /** Position of its first byte in the upload. */
  readonly offset: number
  /** Whether it is the last one. */
  readonly last: boolean
}

/**
 * Regroups `pieces` of any length into chunks of one size, with one copy. The last chunk is yielded only when `pieces` have ended
 * without an error, so that an error is known before the last bytes are sent. Without pieces there is no chunk.
 *
 * A chunk's buffer is reused once the chunk after the next is requested.
 */
export async function* chunksOf(
  pieces: AsyncIterable<Uint8Array>,
  {size, headroom}: ChunkOptions,
): AsyncGenerator<Chunk> {
  let [buffer, other] = [Buffer.allocUnsafeSlow(headroom + size), Buffer.allocUnsafeSlow(headroom + size)]
  let filled = 0
  let offset = 0
  for await (const piece of pieces) {
    for (let taken = 0; taken < piece.length; ) {
      if (filled === size) {
        yield {bytes: buffer.subarray(headroom), offset, last: false}
        ;[buffer, other] = [other, buffer]
        offset += size
        filled = 0
      }
      const part = piece.subarray(taken, taken + size - filled)
      buffer.set(part, headroom + filled)
      filled += part.length
      taken += part.length
    }
  }
  if (filled > 0) yield {bytes: buffer.subarray(headroom, headroom + filled), offset, last: true}
}

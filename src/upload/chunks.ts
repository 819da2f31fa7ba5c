/** The shape of the chunks that `chunksOf` gives. */
export interface ChunkOptions {
  /** Bytes in each, the last one excepted. */
  readonly size: number
  /** Bytes of room that each has before it in its buffer, for the frame that the sender puts there. */
  readonly headroom: number
}

/** A part of an upload. */
export interface Chunk {
  readonly bytes: Uint8Array
  /** Position of its first byte in the upload. */
  readonly offset: number
  /** Whether the upload ends with it. */
  readonly last: boolean
}

/**
 * `pieces` of any length as chunks of one size, copied once. The last one is given only when `pieces` have ended well, so
 * a fault in them is known before their last bytes leave. No pieces give no chunk.
 *
 * A chunk's buffer is used again once the chunk after the next is requested.
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

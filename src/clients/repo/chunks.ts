/** How pieces are gathered. */
export interface Gathering {
  /** Bytes in each, the last excepted. */
  readonly size: number
  /** Bytes of room that each has before it in its buffer, for whoever frames it. */
  readonly headroom: number
}

/**
 * `pieces` of any length as pieces of one size, copied once. The last one is given only when `pieces` have ended well:
 * whatever is wrong with them is known before their last bytes are let go.
 *
 * Each is good until the one after the next is asked for, then its buffer is used again.
 */
export async function* gathered(
  pieces: AsyncIterable<Uint8Array>,
  {size, headroom}: Gathering,
): AsyncGenerator<Uint8Array> {
  let [buffer, other] = [Buffer.allocUnsafeSlow(headroom + size), Buffer.allocUnsafeSlow(headroom + size)]
  let filled = 0
  for await (const piece of pieces) {
    for (let taken = 0; taken < piece.length; ) {
      if (filled === size) {
        yield buffer.subarray(headroom)
        ;[buffer, other] = [other, buffer]
        filled = 0
      }
      const part = piece.subarray(taken, taken + size - filled)
      buffer.set(part, headroom + filled)
      filled += part.length
      taken += part.length
    }
  }
  if (filled > 0) yield buffer.subarray(headroom, headroom + filled)
}

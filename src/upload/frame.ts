import type {FieldPath} from '../transcoding/fields/fields.ts'

/** Bytes of room before each chunk: enough for any field's tag and length, with a few more fields. */
export const headroom = 64

/**
 * Gives the wire form of a message that has `bytes` in the field at `path`, and before it the fields that `others` has
 * on the wire. The frame is written into the room before `bytes` in their buffer, so they are not copied; only a frame
 * that is longer than `headroom` costs a copy.
 *
 * A message on the path that `others` has as well is on the wire twice, which readers merge (protobuf.dev, Encoding, "Last
 * One Wins").
 */
export function framer({parents, field}: FieldPath): (bytes: Uint8Array, others?: Uint8Array) => Uint8Array {
  // Wire type 2, length-delimited, for bytes and messages alike; from the inside out.
  const tags = [...parents, field].map(({number}) => varint(number * 8 + 2)).reverse()
  return (bytes, others) => {
    let frame: number[] = []
    for (const tag of tags) frame = [...tag, ...varint(frame.length + bytes.length), ...frame]
    return framed(bytes, others ? [...others, ...frame] : frame)
  }
}

function framed(bytes: Uint8Array, frame: readonly number[]): Uint8Array {
  if (frame.length > headroom) return Buffer.concat([Uint8Array.from(frame), bytes])
  const message = new Uint8Array(bytes.buffer, bytes.byteOffset - frame.length, frame.length + bytes.length)
  message.set(frame)
  return message
}

/** A number below 2^32, in seven bits a byte, the lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    bytes.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest)
    if (rest <= 0x7f) return bytes
  }
}

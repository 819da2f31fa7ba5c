import {prefixSize, withRoom} from '../clients/connections/grpc-internals.ts'
import type {FieldPath} from '../transcoding/fields/fields.ts'

/** Bytes reserved before each chunk: enough for the tags and lengths of the path, and a few more fields. */
export const headroom = 64

/**
 * Makes the function that encodes a message with `bytes` in the field at the given path, preceded by the encoded fields `others`. The
 * frame is written into the reserved space before `bytes` in their buffer, so they are not copied unless the frame is longer than
 * `headroom`.
 *
 * If `others` has a message on the path as well, it is encoded twice. Readers merge the two (protobuf.dev, Encoding, "Last One Wins").
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
  if (frame.length + prefixSize > headroom) return Buffer.concat([Uint8Array.from(frame), bytes])
  const message = new Uint8Array(bytes.buffer, bytes.byteOffset - frame.length, frame.length + bytes.length)
  message.set(frame)
  return withRoom(message)
}

/** Encodes a number below 2^32 as a varint. */
function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    bytes.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest)
    if (rest <= 0x7f) return bytes
  }
}

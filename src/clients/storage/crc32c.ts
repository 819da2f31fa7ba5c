import {crc32c} from '@node-rs/crc32'

/** A CRC32C, updated chunk by chunk. */
export class Crc32c {
  #value = 0

  update(bytes: Uint8Array): void {
    this.#value = crc32c(bytes, this.#value)
  }

  /** The base64 of the big-endian value, as in Storage. */
  toString(): string {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(this.#value)
    return bytes.toString('base64')
  }
}

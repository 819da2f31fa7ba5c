import {createHash} from 'node:crypto'
import {type FileHandle, open, rm} from 'node:fs/promises'
import {crc32c} from '@node-rs/crc32'

/** The checksums of an object's bytes, in base64, as in Cloud Storage. */
export interface Checksums {
  readonly crc32c: string
  readonly md5Hash: string
}

/** Bytes that will become an object: written to their own file, hashed at the same time, and not readable yet. */
export class Draft {
  readonly path: string
  readonly #file: FileHandle
  readonly #md5 = createHash('md5')
  #crc32c = 0
  #size = 0

  private constructor(path: string, file: FileHandle) {
    this.path = path
    this.#file = file
  }

  static async create(path: string): Promise<Draft> {
    return new Draft(path, await open(path, 'wx'))
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size
  }

  /** Resolves when `chunk` is in the file, so that its memory may be reused. */
  async write(chunk: Uint8Array): Promise<void> {
    // The thread pool writes while this thread hashes.
    const written = this.#append(chunk)
    this.#crc32c = crc32c(chunk, this.#crc32c)
    this.#md5.update(chunk)
    await written
    this.#size += chunk.length
  }

  async writeAll(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) await this.write(chunk)
  }

  /** Closes the file, and keeps it. */
  async finish(): Promise<Checksums> {
    await this.#file.close()
    const crc = Buffer.alloc(4)
    crc.writeUInt32BE(this.#crc32c)
    return {crc32c: crc.toString('base64'), md5Hash: this.#md5.digest('base64')}
  }

  /** Removes the file. Harmless when repeated or after `finish`. */
  async discard(): Promise<void> {
    await this.#file.close()
    await rm(this.path, {force: true})
  }

  async #append(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.length > 0) rest = rest.subarray((await this.#file.write(rest)).bytesWritten)
  }
}

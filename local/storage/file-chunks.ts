import {close, read} from 'node:fs'
import {promisify} from 'node:util'
import type {ByteRange} from './range.ts'

const readInto = promisify(read)
const closeFile = promisify(close)

const chunkSize = 1024 * 1024

/**
 * The bytes of a range of `file`, a descriptor, which is closed at the end, also after an error. One chunk is read ahead, into
 * two alternating buffers, so a chunk may be used only until the next one is requested.
 */
export async function* fileChunks(file: number, {start, end}: ByteRange): AsyncGenerator<Buffer, void, undefined> {
  const size = Math.min(chunkSize, end - start)
  const buffers = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(start + size < end ? size : 0)] as const
  let at = start
  let turn = 0
  const readNext = async (): Promise<Buffer> => {
    const buffer = buffers[turn++ % 2]!
    const {bytesRead} = await readInto(file, buffer, 0, Math.min(buffer.length, end - at), at)
    at += bytesRead
    return buffer.subarray(0, bytesRead)
  }
  let reading: Promise<Buffer> | undefined
  try {
    reading = readNext()
    while (true) {
      const chunk = await reading
      if (chunk.length === 0) return
      reading = at < end ? readNext() : undefined
      yield chunk
      if (!reading) return
    }
  } finally {
    // Waits for the read in the thread pool: its descriptor must not be closed, or even reused for another file.
    await reading?.catch(() => {})
    await closeFile(file)
  }
}

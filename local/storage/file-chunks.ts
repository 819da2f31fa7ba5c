import {close, read} from 'node:fs'
import {promisify} from 'node:util'
import type {ByteRange} from './range.ts'

const readInto = promisify(read)
const closeFile = promisify(close)

const chunkSize = 1024 * 1024

/**
 * The bytes of a range of `file`, a descriptor, which is closed at the end, good or bad. One chunk is read ahead while the
 * last one is used, into two buffers by turns: a chunk is the taker's until it asks for the next one, no longer.
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
    // A read in the thread pool must not find its descriptor closed, or worse, given to another file.
    await reading?.catch(() => {})
    await closeFile(file)
  }
}

import type {IncomingMessage} from 'node:http'

/** Shorter pieces of a body are gathered, in bytes. */
const small = 512
/** So many of them are left alone: most bodies have no more. */
const few = 16
/** How many bytes are gathered to one piece. */
const mergedSize = 4096

/**
 * Gathers the small pieces of a body that nobody reads yet. Node keeps 64 KiB of each request, and what comes in chunks of a
 * byte as 65,536 Buffers, which take 40 MB: ten such requests ended an instance of 256 MiB.
 *
 * It rests on how Node's parser gives a body to its request: by push(), whose answer says whether to read on.
 */
export function gatherSmallPieces(request: IncomingMessage): void {
  const push = request.push.bind(request)
  const read = request._read.bind(request)
  let count = 0
  let buffer = Buffer.alloc(0)
  let [start, end] = [0, 0]
  let isScheduled = false

  const flush = () => {
    if (start === end) return
    const piece = buffer.subarray(start, end)
    start = end
    push(piece)
  }
  const flushForReader = () => {
    isScheduled = false
    // What is there is read first, and then asks for more.
    if (request.readableLength === 0) flush()
  }
  const add = (piece: Buffer) => {
    if (end + piece.length > buffer.length) {
      flush()
      buffer = Buffer.allocUnsafeSlow(mergedSize)
      start = end = 0
    }
    end += piece.copy(buffer, end)
    if (!isScheduled) process.nextTick(flushForReader)
    isScheduled = true
    return request.readableLength + end - start < request.readableHighWaterMark
  }

  request.push = (piece: Buffer | null) => {
    if (piece !== null && piece.length < small && (count > few || ++count > few)) return add(piece)
    flush()
    return push(piece)
  }
  request._read = (size) => {
    flush()
    read(size)
  }
}

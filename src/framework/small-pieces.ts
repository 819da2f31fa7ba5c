import type {IncomingMessage} from 'node:http'

/** Pieces of a body below this size are combined, in bytes. */
const small = 512
/** Number of pieces that are passed on unchanged: most bodies have no more. */
const few = 16
/** Size of a combined piece, in bytes. */
const mergedSize = 4096

/**
 * Combines the small pieces of a body that is not read yet. Node buffers 64 KiB of each request. In chunks of one
 * byte, that is 65,536 Buffers, which take 40 MB: ten such requests ended an instance of 256 MiB.
 *
 * It relies on how Node's parser passes a body to its request: by push(), which returns whether to continue reading.
 */
export function gatherSmallPieces(request: IncomingMessage): void {
  const {push, read: take, _read: read} = request
  let count = 0
  let buffer = Buffer.alloc(0)
  let [start, end] = [0, 0]
  let isScheduled = false

  const flush = () => {
    if (start === end) return
    const piece = buffer.subarray(start, end)
    start = end
    push.call(request, piece)
  }
  const flushForReader = () => {
    isScheduled = false
    // Buffered bytes are read first, and what takes the last of them comes here again.
    if (request.readableLength === 0) flush()
  }
  const schedule = () => {
    if (!isScheduled) process.nextTick(flushForReader)
    isScheduled = true
  }
  const add = (piece: Buffer) => {
    if (end + piece.length > buffer.length) {
      flush()
      buffer = Buffer.allocUnsafeSlow(mergedSize)
      start = end = 0
    }
    end += piece.copy(buffer, end)
    schedule()
    return request.readableLength + end - start < request.readableHighWaterMark
  }

  request.push = (piece: Buffer | null) => {
    if (piece !== null && piece.length < small && (count > few || ++count > few)) return add(piece)
    flush()
    // The body has ended: a response may take an hour from here on, with nothing left of this.
    if (piece === null) Object.assign(request, {push, read: take, _read: read})
    return push.call(request, piece)
  }
  // A Readable that waits for push() does not call _read() again, and the combined bytes did not pass through push().
  request.read = (size) => {
    const taken = take.call(request, size)
    if (start !== end && request.readableLength === 0) schedule()
    return taken
  }
  request._read = (size) => {
    flush()
    read.call(request, size)
  }
}

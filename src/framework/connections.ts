import type {Server, ServerResponse} from 'node:http'
import type {Socket} from 'node:net'

/** Grace period for a caller to read the last answer and close its side too, in ms. */
const linger = 2000

/** Idle timeout of a connection, in ms: longer than the 600 s of Google's load balancers. */
const longestIdle = 620_000

const ending = new WeakSet<Socket>()

/**
 * Keeps `server` from closing a connection that has received a request. Node's own timeout of 5 s passes while the instance is frozen, and its
 * timer runs before any socket is read after the thaw. So it would close the connection of the request that woke the instance.
 */
export function keepIdle(server: Server): void {
  server.keepAliveTimeout = longestIdle
  server.on('timeout', (socket) => {
    const {bytesRead} = socket
    // Received bytes have been read by then.
    setImmediate(() => setImmediate(() => socket.bytesRead === bytesRead && socket.destroy()))
  })
}

/**
 * Ends `socket` in stages (RFC 9112 9.6): our side at once, and the rest when the caller has closed its side, or after the grace period.
 * If a connection with unread bytes is closed at once, it is reset, and the answer may be lost.
 */
export function endGently(socket: Socket): void {
  if (ending.has(socket) || socket.destroyed) return
  ending.add(socket)
  socket.end()
  const timer = setTimeout(() => socket.destroy(), linger).unref()
  socket.once('close', () => clearTimeout(timer))
}

/** Makes Node end `socket` in this way after an answer with `Connection: close`, for which it calls the socket's `destroySoon`. */
export function endsGently(socket: Socket): void {
  socket.destroySoon = endThisGently
}

function endThisGently(this: Socket): void {
  endGently(this)
}

/** Ends the connection after `response`, which is being sent. */
export function endAfter(response: ServerResponse): void {
  if (response.headersSent) response.once('finish', () => response.req.socket.destroySoon())
  else response.setHeader('connection', 'close')
}

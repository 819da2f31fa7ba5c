import type {Server, ServerResponse} from 'node:http'
import type {Socket} from 'node:net'

/** How long a caller has to read the last answer and to close its side as well, in ms. */
const linger = 2000

/** How long a connection without a request stays open, in ms: longer than the 600 s of Google's load balancers. */
const longestIdle = 620_000

const ending = new WeakSet<Socket>()

/**
 * Has `server` close no connection on which a request has come. Node's own 5 s pass while the instance is frozen, and its timer runs
 * before any socket is read when it is thawed: that closed the connection of the very request that woke the instance.
 */
export function keepIdle(server: Server): void {
  server.keepAliveTimeout = longestIdle
  server.on('timeout', (socket) => {
    const {bytesRead} = socket
    // By then all that had come is read.
    setImmediate(() => setImmediate(() => socket.bytesRead === bytesRead && socket.destroy()))
  })
}

/**
 * Ends `socket` in stages (RFC 9112 9.6): our side at once, all of it when the caller has closed its side, or after a while.
 * Closed at once, a connection with bytes that nobody has read is reset, and the answer before them may be lost.
 */
export function endGently(socket: Socket): void {
  if (ending.has(socket) || socket.destroyed) return
  ending.add(socket)
  socket.end()
  const timer = setTimeout(() => socket.destroy(), linger).unref()
  socket.once('close', () => clearTimeout(timer))
}

/** Has Node end `socket` so after an answer with `Connection: close`: it calls `destroySoon` of the socket for that. */
export function endsGently(socket: Socket): void {
  socket.destroySoon = endThisGently
}

function endThisGently(this: Socket): void {
  endGently(this)
}

/** Ends the connection when `response`, which is under way, has left. */
export function endAfter(response: ServerResponse): void {
  if (response.headersSent) response.once('finish', () => response.req.socket.destroySoon())
  else response.setHeader('connection', 'close')
}

import {subscribe} from 'node:diagnostics_channel'
import {type IncomingMessage, type Server, ServerResponse} from 'node:http'
import type {Socket} from 'node:net'
import {keepUpgrade} from '../http/response/upgrade.ts'
import {endGently} from './connections.ts'
import {hideFromFramework, isExpress} from './raw-requests.ts'

let subscribed = false

/**
 * Passes requests for a WebSocket to the function as all others, with a response on their connection. The answer is
 * either an HTTP status, or the connection becomes a WebSocket. Without this, and on other servers, such a request is
 * an ordinary one, as HTTP allows.
 *
 * Since 24.9 Node asks which upgrades to hand over. Before, it hands over all of them, and the body of requests for other upgrades is lost.
 *
 * It relies on how Node's server hands over the connection of an upgrade: with its parser removed, and without a response.
 */
export function takeUpgrades(): void {
  if (subscribed) return
  subscribed = true
  subscribe('tracing:net.server.listen:asyncEnd', (message) => {
    const {server} = message as {server: Server}
    if (!isExpress(server)) return
    // Upgrades to other protocols, such as h2c, are not supported: their requests are handled as ordinary ones.
    Object.assign(server, {shouldUpgradeCallback: isForWebSocket})
    server.on('upgrade', (request, stream, head) => onUpgrade(server, {request, socket: stream as Socket, head}))
  })
}

/** HTTP/1.0 has no upgrades (RFC 9110 7.8). */
function isForWebSocket({headers: {upgrade}, httpVersion}: IncomingMessage): boolean {
  return upgrade?.trim().toLowerCase() === 'websocket' && httpVersion !== '1.0'
}

interface Taken {
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

function onUpgrade(server: Server, {request, socket, head}: Taken): void {
  // Errors here only mean that the connection has ended.
  socket.on('error', () => {})
  const response = new ServerResponse(request)
  try {
    response.assignSocket(socket)
  } catch {
    // An earlier request of the connection is in progress, which no WebSocket client does.
    socket.destroy()
    return
  }
  response.shouldKeepAlive = false
  response.once('finish', () => {
    response.detachSocket(socket)
    endGently(socket)
    process.nextTick(() => response.emit('close'))
  })
  hideFromFramework(request)
  if (isForWebSocket(request)) keepUpgrade({request, socket, head})
  server.emit('request', request, response)
}

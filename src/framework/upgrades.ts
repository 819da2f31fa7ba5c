import {subscribe} from 'node:diagnostics_channel'
import {type IncomingMessage, type Server, ServerResponse} from 'node:http'
import type {Socket} from 'node:net'
import {keepUpgrade} from '../http/response/upgrade.ts'
import {endGently} from './connections.ts'
import {hideFromFramework, isExpress} from './raw-requests.ts'

let subscribed = false

/**
 * Has requests for a WebSocket reach the function as all others do, with a response on their connection: it is answered with
 * a status as any other, or else the connection goes on as a WebSocket. Without this, and on other servers, such a request is
 * an ordinary one, as HTTP allows.
 *
 * Node has asked which upgrades are taken since 24.9; before it hands over all of them, and of others than WebSockets the body is lost.
 *
 * It rests on how Node's server hands over the connection of an upgrade: with its parser taken off, and no response.
 */
export function takeUpgrades(): void {
  if (subscribed) return
  subscribed = true
  subscribe('tracing:net.server.listen:asyncEnd', (message) => {
    const {server} = message as {server: Server}
    if (!isExpress(server)) return
    // Of others, such as h2c, we know nothing: they are ordinary requests, as before.
    Object.assign(server, {shouldUpgradeCallback: isForWebSocket})
    server.on('upgrade', (request, stream, head) => onUpgrade(server, {request, socket: stream as Socket, head}))
  })
}

function isForWebSocket({headers: {upgrade}}: IncomingMessage): boolean {
  return upgrade?.trim().toLowerCase() === 'websocket'
}

interface Taken {
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

function onUpgrade(server: Server, {request, socket, head}: Taken): void {
  // What fails here is the end of a connection.
  socket.on('error', () => {})
  const response = new ServerResponse(request)
  try {
    response.assignSocket(socket)
  } catch {
    // An earlier request of the connection is under way: no client of WebSockets sends one.
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

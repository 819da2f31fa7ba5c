import type {IncomingMessage} from 'node:http'
import type {Duplex} from 'node:stream'
import {Fault} from '../../core/fault.ts'

/** A request for a WebSocket, whose connection Node has handed over. */
export interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex
  /** Bytes received after the request's head. */
  readonly head: Buffer
}

const kept = Symbol('the upgrade that a request asks for')

type Upgrading = IncomingMessage & {[kept]?: Upgrade}

/**
 * Remembers that `upgrade.request` is for a WebSocket. A browser cannot send a page's own headers with it, so the subprotocol
 * `bearer.<token>` stands for `Authorization: Bearer <token>`.
 */
export function keepUpgrade(upgrade: Upgrade): void {
  const request: Upgrading = upgrade.request
  request[kept] = upgrade
  const token = protocolsOf(request).find(isBearer)?.slice(bearer.length)
  if (token) request.headers.authorization ??= `Bearer ${token}`
}

/** The upgrade of `request`; undefined if it requests none, or this server supports none. */
export function upgradeOf(request: Upgrading): Upgrade | undefined {
  return request[kept]
}

/** The subprotocols that a caller offers, in its order. */
export function protocolsOf({headers}: Pick<IncomingMessage, 'headers'>): readonly string[] {
  const offered = headers['sec-websocket-protocol'] ?? ''
  return offered
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean)
}

const bearer = 'bearer.'

/** Whether a subprotocol is a token rather than a message format. */
export function isBearer(protocol: string): boolean {
  return protocol.startsWith(bearer)
}

/** @throws {Fault} 400 or 426 unless the request is a valid opening handshake (RFC 6455 4.2.1) */
export function checkHandshake({method, headers}: IncomingMessage): void {
  const {'sec-websocket-version': version, 'sec-websocket-key': key = ''} = headers
  if (method !== 'GET') throw Fault.invalid('upgrade', `Cannot open a WebSocket by ${method}: expected GET`)
  if (version !== '13') {
    throw Fault.invalid('sec-websocket-version', 'Cannot open a WebSocket of this version: expected 13', {
      http: 426,
      headers: {'sec-websocket-version': '13', upgrade: 'websocket'},
    })
  }
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) {
    throw Fault.invalid('sec-websocket-key', 'Header Sec-WebSocket-Key is malformed: expected 16 bytes in base64')
  }
}

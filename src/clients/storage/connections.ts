import {type ClientRequestArgs, Agent as HttpAgent} from 'node:http'
import {Agent as HttpsAgent, type RequestOptions} from 'node:https'
import {Socket} from 'node:net'
import type {Duplex} from 'node:stream'
import {outside} from '../../core/outside.ts'
import {Receiver} from './receiver.ts'

/** Limit for idle connections. */
const mostIdle = 8
/** Idle time after which a connection is not used again, in ms, because it may have died while the instance was frozen. */
const longestIdle = 1000

class Plain extends HttpAgent {
  override createConnection(options: ClientRequestArgs, done?: Done) {
    return received(options, (given) => super.createConnection(given, done))
  }
}

class Secure extends HttpsAgent {
  override createConnection(options: RequestOptions, done?: Done) {
    return received(options, (given) => super.createConnection(given, done))
  }
}

type Done = Parameters<HttpAgent['createConnection']>[1]

/** A new connection whose bytes a Receiver gets. */
function received<T extends object>(options: T, create: (options: T) => Duplex | null | undefined) {
  const receiver = new Receiver()
  const socket = outside(() => create({...options, onread: receiver.onread}))
  if (socket instanceof Socket) receiver.attach(socket)
  return socket
}

/**
 * The pool of connections to Storage. Connections beyond the limit are closed after a burst of reads, and long idle ones
 * by the next request, because no timer runs between requests.
 */
export class KeptConnections {
  /** One agent for TLS, and one for plaintext. */
  readonly #agents = new Map<boolean, HttpAgent>()
  /** For each idle connection, the time at which it became idle, in ms since the epoch. */
  readonly #idleSince = new WeakMap<Socket, number>()

  /** The agent for a new request. */
  agentFor(secure: boolean): HttpAgent {
    const agent = this.#agents.get(secure) ?? this.#newAgent(secure)
    const now = Date.now()
    for (const socket of Object.values(agent.freeSockets).flat()) {
      if (socket && Math.abs(now - (this.#idleSince.get(socket) ?? 0)) > longestIdle) socket.destroy()
    }
    return agent
  }

  /** An agent whose connection is used for one request. */
  agentForOne(secure: boolean): HttpAgent {
    return new (secure ? Secure : Plain)({keepAlive: false})
  }

  /** Closes all connections. The next request opens new ones. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
    this.#agents.clear()
  }

  #newAgent(secure: boolean): HttpAgent {
    const agent = new (secure ? Secure : Plain)({keepAlive: true, maxFreeSockets: mostIdle})
    agent.on('free', (socket: Socket) => this.#idleSince.set(socket, Date.now()))
    this.#agents.set(secure, agent)
    return agent
  }
}

import {Agent as HttpAgent} from 'node:http'
import {Agent as HttpsAgent} from 'node:https'
import type {Socket} from 'node:net'
import {outside} from '../../core/outside.ts'

/** Limit for idle connections. */
const mostIdle = 8
/** Idle time after which a connection is not used again, in ms, because it may have died while the instance was frozen. */
const longestIdle = 1000

class Kept extends HttpAgent {
  override createConnection(...args: Parameters<HttpAgent['createConnection']>) {
    return outside(() => super.createConnection(...args))
  }
}

class KeptSecure extends HttpsAgent {
  override createConnection(...args: Parameters<HttpsAgent['createConnection']>) {
    return outside(() => super.createConnection(...args))
  }
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

  /** Closes all connections. The next request opens new ones. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
    this.#agents.clear()
  }

  #newAgent(secure: boolean): HttpAgent {
    const agent = new (secure ? KeptSecure : Kept)({keepAlive: true, maxFreeSockets: mostIdle})
    agent.on('free', (socket: Socket) => this.#idleSince.set(socket, Date.now()))
    this.#agents.set(secure, agent)
    return agent
  }
}

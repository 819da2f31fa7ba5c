import {Agent as HttpAgent} from 'node:http'
import {Agent as HttpsAgent} from 'node:https'
import type {Socket} from 'node:net'
import {outside} from '../../core/outside.ts'

/** The most connections that are kept while nobody uses them. */
const mostIdle = 8
/** A connection that was idle for longer is not used again, in ms: it may have died while the instance was frozen. */
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
 * The connections to Storage that are used again. What a burst of reads has opened is closed when it is over, and what was idle
 * for long by the request that comes next: no timer runs between requests.
 */
export class KeptConnections {
  /** By whether they are encrypted. */
  readonly #agents = new Map<boolean, HttpAgent>()
  /** Since when nobody uses a connection, in ms since the epoch. */
  readonly #idleSince = new WeakMap<Socket, number>()

  /** The agent for a request that begins now. */
  agentFor(secure: boolean): HttpAgent {
    const agent = this.#agents.get(secure) ?? this.#newAgent(secure)
    const now = Date.now()
    for (const socket of Object.values(agent.freeSockets).flat()) {
      if (socket && Math.abs(now - (this.#idleSince.get(socket) ?? 0)) > longestIdle) socket.destroy()
    }
    return agent
  }

  /** Closes all of them; the next request opens new ones. */
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

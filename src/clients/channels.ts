import type {Backend} from '../core/config.ts'
import {Pool} from './connections/pool.ts'

/** Options of connections. */
export interface ChannelsOptions {
  /** Limit for one attempt to connect to a backend, in ms. */
  readonly connectTimeout: number
}

/** The connections of one runtime: one pool for each backend, opened at first use and shared by all requests. */
export class Channels {
  readonly #options: ChannelsOptions
  readonly #pools = new Map<string, Pool>()

  constructor(options: ChannelsOptions) {
    this.#options = options
  }

  /** The connections to `backend`. */
  to(backend: Backend): Pool {
    let pool = this.#pools.get(backend.url)
    if (!pool) {
      pool = new Pool(backend, this.#options)
      this.#pools.set(backend.url, pool)
    }
    return pool
  }

  /** Closes every connection; the next call opens a new one. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close()
    this.#pools.clear()
  }
}

import {AsyncLocalStorage} from 'node:async_hooks'

/**
 * Runs `work` outside of any request's async context: for things that outlive the request which creates them. A socket, for example,
 * keeps its creator's async context, and with it that request, in memory as long as it is open.
 */
export const outside: <T>(work: () => T) => T = AsyncLocalStorage.snapshot()

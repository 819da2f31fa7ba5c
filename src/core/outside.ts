import {AsyncLocalStorage} from 'node:async_hooks'

/**
 * Runs `work` outside of any request's async context: for what outlives the request that asks for it first. A socket keeps the
 * context in which it was opened, and with it that request, as long as it is open.
 */
export const outside: <T>(work: () => T) => T = AsyncLocalStorage.snapshot()

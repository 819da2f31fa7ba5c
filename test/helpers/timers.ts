/**
 * Keeps count of the timers that the project's own code has running: loaded before it, so that it sees them all.
 * Those that libraries keep for themselves, such as a channel's, are not counted, nor that of a connection that is ending:
 * it is there for the caller to read the last answer, when the request is over.
 */
const running = new Map<unknown, string>()
const {setTimeout: set, clearTimeout: clear} = globalThis

const counted = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
  const from = new Error().stack ?? ''
  const timer = set(() => {
    running.delete(timer)
    callback(...args)
  }, ms)
  const [, , caller = ''] = from.split('\n')
  if (/^(?!.*\/node_modules\/).*\/src\/(?!gen\/|framework\/connections\.ts)/.test(caller)) running.set(timer, from)
  return timer
}

// util.promisify must go on finding its own version.
globalThis.setTimeout = Object.assign(counted, set) as typeof setTimeout
globalThis.clearTimeout = (timer) => {
  running.delete(timer)
  clear(timer as NodeJS.Timeout)
}

/** Where the timers were started that are still running. */
export function runningTimers(): string[] {
  return [...running.values()]
}

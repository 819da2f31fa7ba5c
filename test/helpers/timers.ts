/**
 * Counts the running timers of the project's own code. It must be loaded before that code, to see all timers. Timers of
 * libraries, such as those of a channel, are not counted, and neither is that of a connection that is ending: after the request
 * it waits for the caller to read the last answer.
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

// util.promisify must still find its own version.
globalThis.setTimeout = Object.assign(counted, set) as typeof setTimeout
globalThis.clearTimeout = (timer) => {
  running.delete(timer)
  clear(timer as NodeJS.Timeout)
}

/** The places where the running timers were started. */
export function runningTimers(): string[] {
  return [...running.values()]
}

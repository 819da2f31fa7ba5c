import {getCallSites} from 'node:util'

/**
 * Counts the running timers of the project's own code. It must be loaded before that code, to see all timers. Timers of
 * libraries, such as those of a channel, are not counted, and neither is that of a connection that is ending: after the request
 * it waits for the caller to read the last answer.
 */
const running = new Map<unknown, Error>()
const ownCode = /^(?!.*\/node_modules\/).*\/src\/(?!gen\/|framework\/connections\.ts)/
const {setTimeout: set, clearTimeout: clear} = globalThis

const counted = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
  const timer = set(() => {
    running.delete(timer)
    callback(...args)
  }, ms)
  const [, caller] = getCallSites(2)
  if (ownCode.test(caller?.scriptName ?? '')) running.set(timer, new Error())
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
  // V8 makes the text of a stack when it is read, which takes many times as long as to start a timer.
  return [...running.values()].map(({stack}) => stack ?? '')
}

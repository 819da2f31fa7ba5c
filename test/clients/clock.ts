/** The time by which tokens live, here and on the other end: loaded before anything that reads it. */
const {now} = Date
let ahead = 0
let stopped: number | undefined

Date.now = () => (stopped ?? now()) + ahead

/** Puts the clock forward; timers go on as they were. */
export function advance(ms: number): void {
  ahead += ms
}

/** Has the clock go forward by advance() alone, until the function that it returns is called. Timers go on as they were. */
export function stopClock(): () => void {
  stopped = now()
  return () => {
    stopped = undefined
  }
}

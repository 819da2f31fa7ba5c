/** The clock by which tokens expire, here and at the server. It must be loaded before anything that reads the time. */
const {now} = Date
let ahead = 0
let stopped: number | undefined

Date.now = () => (stopped ?? now()) + ahead

/** Moves the clock forward; timers are not affected. */
export function advance(ms: number): void {
  ahead += ms
}

/** Stops the clock, so that only advance() moves it, until the returned function is called. Timers are not affected. */
export function stopClock(): () => void {
  stopped = now()
  return () => {
    stopped = undefined
  }
}

/** The time by which tokens live, here and on the other end: loaded before anything that reads it. */
const {now} = Date
let ahead = 0

Date.now = () => now() + ahead

/** Puts the clock forward; timers go on as they were. */
export function advance(ms: number): void {
  ahead += ms
}

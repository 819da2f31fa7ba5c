/** Waits for `work`, but no longer than `ms`; whether it has ended. Throws what it throws. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<boolean> {
  const {promise, resolve} = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, ms, false)
  try {
    return await Promise.race([work.then(() => true), promise])
  } finally {
    clearTimeout(timer)
  }
}

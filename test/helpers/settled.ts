/** Waits until `measure` has stopped changing, and returns its value. */
export async function settled(measure: () => number): Promise<number> {
  let before = -1
  for (let still = 0; still < 20; still++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    if (measure() !== before) still = 0
    before = measure()
  }
  return before
}

/** Random numbers from a seed: the same seed gives the same numbers. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 up to, but not including, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer from `least` to `most`, inclusive. */
  int(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  /** Like int(), but evenly distributed over orders of magnitude. */
  size(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.next())
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(0, from.length - 1)]!
  }

  /** One of `from`, by weight. */
  weighted<T>(from: readonly (readonly [weight: number, item: T])[]): T {
    let left = this.next() * from.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, item] of from) {
      left -= weight
      if (left < 0) return item
    }
    return from[0]![1]
  }

  /** Another source, derived from the seed and the numbers drawn so far. */
  fork(): Random {
    return new Random(this.int(0, 2 ** 32 - 1))
  }
}

/** A set of open things, and a promise for the moment when it is empty. */
export class Open<T> {
  readonly #items = new Set<T>()
  #waiting: (() => void)[] = []

  get size(): number {
    return this.#items.size
  }

  add(item: T): void {
    this.#items.add(item)
  }

  delete(item: T): void {
    if (!this.#items.delete(item) || this.#items.size) return
    for (const wake of this.#waiting.splice(0)) wake()
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#items.values()
  }

  /** Resolves when nothing is open: at once if so now. */
  idle(): Promise<void> {
    if (!this.#items.size) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

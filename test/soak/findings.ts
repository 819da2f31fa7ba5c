/** Beginning and end, in ms since the epoch. */
export type Span = readonly [from: number, to: number]

/** Violations of what the soak test checks, each with the number of times and with its first example. */
export class Findings {
  readonly #all = new Map<string, {count: number; readonly first: string}>()
  readonly #context: (span?: Span) => string

  /** @param context describes the faults during a span, or recently, to help find the cause */
  constructor(context: (span?: Span) => string) {
    this.#context = context
  }

  get size(): number {
    return this.#all.size
  }

  /**
   * @param what the violation, in the same words each time
   * @param span when the request was in flight, if it was a request
   */
  add(what: string, detail: string, span?: Span): void {
    const found = this.#all.get(what)
    if (found) found.count++
    else this.#all.set(what, {count: 1, first: `${detail}\n      ${this.#context(span)}`})
  }

  get lines(): string[] {
    return [...this.#all].map(([what, {count, first}]) => `${count} x ${what}\n    first: ${first}`)
  }
}

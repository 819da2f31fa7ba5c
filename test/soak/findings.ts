/** From when to when, in ms since the epoch. */
export type Span = readonly [from: number, to: number]

/** What should not be, each with how often it was found and what it was found with first. */
export class Findings {
  readonly #all = new Map<string, {count: number; readonly first: string}>()
  readonly #context: (span?: Span) => string

  /** @param context what happened in that time, or lately, for who looks for the cause */
  constructor(context: (span?: Span) => string) {
    this.#context = context
  }

  get size(): number {
    return this.#all.size
  }

  /**
   * @param what in the same words each time
   * @param span when the request was under way, where it was one
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

import type {Fault} from './fault.ts'

/**
 * An AbortSignal that is made only when it is read. A unary call needs none: to make one, listen to it and abort it takes over 2% of
 * the call's CPU.
 */
export class LazySignal {
  #reason: Fault | undefined
  #controller: AbortController | undefined
  readonly #listeners = new Set<() => void>()

  /** Why it was aborted; undefined until then. */
  get reason(): Fault | undefined {
    return this.#reason
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#reason) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Aborts it, unless that has happened already. */
  abort(reason: Fault): void {
    if (this.#reason) return
    this.#reason = reason
    this.#controller?.abort(reason)
    for (const listener of this.#listeners) listener()
    this.#listeners.clear()
  }

  /** Calls `listener` once, at the abort; never if that was before. */
  listen(listener: () => void): void {
    if (!this.#reason) this.#listeners.add(listener)
  }

  unlisten(listener: () => void): void {
    this.#listeners.delete(listener)
  }
}

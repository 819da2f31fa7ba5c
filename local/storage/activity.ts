import type {LoggedRequest} from './exchange.ts'

const limit = 10_000

/** The requests of a server: a log of them, and which are in progress. */
export class Activity {
  readonly requests: LoggedRequest[] = []
  #open = 0
  #idle = Promise.withResolvers<void>()

  get open(): number {
    return this.#open
  }

  /** `answered`, which never fails, settles when nothing more will happen. */
  begin(request: LoggedRequest, answered: Promise<void>): void {
    this.requests.push(request)
    if (this.requests.length > limit) this.requests.shift()
    this.#open += 1
    answered.then(() => {
      request.done = true
      this.#open -= 1
      if (this.#open === 0) this.#rest()
    })
  }

  /** Resolves when no request is in progress; at once when that is so. */
  idle(): Promise<void> {
    return this.#open === 0 ? Promise.resolve() : this.#idle.promise
  }

  #rest(): void {
    this.#idle.resolve()
    this.#idle = Promise.withResolvers()
  }
}

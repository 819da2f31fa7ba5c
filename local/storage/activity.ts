import type {LoggedRequest} from './exchange.ts'

const limit = 10_000

/** The requests of a server: their log, and the number in progress. */
export class Activity {
  readonly requests: LoggedRequest[] = []
  #open = 0
  #idle = Promise.withResolvers<void>()

  get open(): number {
    return this.#open
  }

  /** @param answered settles when the request is over and cleaned up; never rejects */
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

  /** Resolves when no request is in progress. */
  idle(): Promise<void> {
    return this.#open === 0 ? Promise.resolve() : this.#idle.promise
  }

  #rest(): void {
    this.#idle.resolve()
    this.#idle = Promise.withResolvers()
  }
}

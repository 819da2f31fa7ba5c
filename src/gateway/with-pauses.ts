import {paused} from '../http/response/reply.ts'

/**
 * `paused`, then the values of `source`, changed by `map`, and `paused` again whenever none has arrived for `ms`.
 *
 * Not a generator, and it waits for each value of `source` once, whatever the number of pauses: so an idle stream holds a promise and
 * a timer here, however long it lasts.
 */
export class WithPauses<From, To> implements AsyncIterableIterator<To | typeof paused> {
  readonly #source: AsyncIterator<From>
  readonly #map: (value: From) => To
  readonly #ms: number
  #hasBegun = false
  #isAsked = false
  #timer: NodeJS.Timeout | undefined
  #waiting: PromiseWithResolvers<IteratorResult<To | typeof paused>> | undefined
  /** The result that has arrived while nobody waited. */
  #arrived: (() => IteratorResult<To>) | undefined

  constructor(source: AsyncIterator<From>, map: (value: From) => To, ms: number) {
    this.#source = source
    this.#map = map
    this.#ms = ms
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<To | typeof paused>> {
    if (!this.#hasBegun) {
      this.#hasBegun = true
      return Promise.resolve({done: false, value: paused})
    }
    const arrived = this.#arrived
    this.#arrived = undefined
    if (arrived) return Promise.try(arrived)
    this.#waiting = Promise.withResolvers()
    this.#timer ??= setTimeout(() => this.#settle(pause), this.#ms)
    this.#timer.refresh()
    if (!this.#isAsked) this.#ask()
    return this.#waiting.promise
  }

  async return(): Promise<IteratorResult<To>> {
    clearTimeout(this.#timer)
    await this.#source.return?.()
    return {done: true, value: undefined}
  }

  #ask(): void {
    this.#isAsked = true
    this.#source.next().then(
      (next) => this.#take(() => this.#mapped(next)),
      (error) =>
        this.#take(() => {
          throw error
        }),
    )
  }

  #take(result: () => IteratorResult<To>): void {
    this.#isAsked = false
    if (this.#waiting) this.#settle(result)
    else this.#arrived = result
  }

  #mapped(next: IteratorResult<From>): IteratorResult<To> {
    if (!next.done) return {done: false, value: this.#map(next.value)}
    clearTimeout(this.#timer)
    return {done: true, value: undefined}
  }

  #settle(result: () => IteratorResult<To | typeof paused>): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    try {
      waiting?.resolve(result())
    } catch (error) {
      waiting?.reject(error)
    }
  }
}

const pause = () => ({done: false, value: paused}) as const

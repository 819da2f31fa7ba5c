import {Fault} from '../core/fault.ts'
import {pause} from '../core/waiting.ts'

/** How often in a row something may fail before we say so. */
const most = 6
/** The first pause, in ms; each further one is twice as long. */
const firstPause = 100
/** No pause is longer, in ms, whatever a server asks for. */
const longestPause = 5000

/** A failure that may pass: the same may work in a while. */
export class Passing extends Error {
  override readonly name = 'Passing'
  /** What the server asked us to wait, in ms. */
  readonly retryAfter: number

  constructor(message: string, retryAfter = 0) {
    super(message)
    this.retryAfter = retryAfter
  }
}

/** Counts the failures in a row of something that may be tried again. */
export class Attempts {
  readonly #what: string
  #failures = 0

  /** `what` is said when there have been too many: "Reading … broke off". */
  constructor(what: string) {
    this.#what = what
  }

  /** Whether the last one failed. */
  get again(): boolean {
    return this.#failures > 0
  }

  succeeded(): void {
    this.#failures = 0
  }

  /**
   * Waits until it is time for the next attempt.
   * @throws {Fault} `error` itself when that is one: it is final; the signal's reason; UNAVAILABLE after too many
   */
  async failed(error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw signal.reason
    if (error instanceof Fault) throw error
    const failures = ++this.#failures
    if (failures > most) throw new Fault('UNAVAILABLE', `${this.#what} ${failures} times in a row`, {cause: error})
    const asked = error instanceof Passing ? error.retryAfter : 0
    const grown = firstPause * 2 ** (failures - 1) * (0.5 + Math.random() / 2)
    await pause(Math.min(longestPause, Math.max(asked, grown)), signal)
  }
}

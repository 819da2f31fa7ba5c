import {Fault} from '../../core/fault.ts'
import {pause} from '../../core/waiting.ts'

/** Limit for failures in a row. */
const maxFailures = 6
/** The first pause, in ms. Each further one is twice as long. */
const firstPause = 100
/** Limit for a pause, in ms, whatever a server asks for. */
const longestPause = 5000

/** A transient error: a later attempt may succeed. */
export class TransientError extends Error {
  override readonly name = 'TransientError'
  /** The pause that the server asked for, in ms. */
  readonly retryAfter: number

  constructor(message: string, retryAfter = 0) {
    super(message)
    this.retryAfter = retryAfter
  }
}

/** The pauses between attempts: longer after each failure in a row. */
export class Backoff {
  readonly #what: string
  #failures = 0

  /** @param what the message after too many failures: "Reading … broke off" */
  constructor(what: string) {
    this.#what = what
  }

  /** Whether the last attempt failed. */
  get again(): boolean {
    return this.#failures > 0
  }

  succeeded(): void {
    this.#failures = 0
  }

  /**
   * Waits until it is time for the next attempt.
   * @throws {Fault} `error` itself when it is a Fault, which is final; the signal's reason; UNAVAILABLE after too many
   */
  async failed(error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw signal.reason
    if (error instanceof Fault) throw error
    const failures = ++this.#failures
    if (failures > maxFailures)
      throw new Fault('UNAVAILABLE', `${this.#what} ${failures} times in a row`, {cause: error})
    const asked = error instanceof TransientError ? error.retryAfter : 0
    const grown = firstPause * 2 ** (failures - 1) * (0.5 + Math.random() / 2)
    await pause(Math.min(longestPause, Math.max(asked, grown)), signal)
  }
}

/** Maximum number of retries at once, after a long time without any. */
const mostTokens = 10
/** Each call that succeeds allows this part of a retry: at most a tenth of all calls are retries. */
const tokensOfSuccess = 0.1

/**
 * Limits the retries to one backend, so that an outage does not multiply its load. The first retry
 * of a call that no handler has seen does not count, and neither do retries after the end of a connection.
 */
export class RetryBudget {
  #tokens = mostTokens

  succeeded(): void {
    if (this.#tokens < mostTokens) this.#tokens = Math.min(mostTokens, this.#tokens + tokensOfSuccess)
  }

  /** Takes one retry from the budget. Returns false if none is left. */
  take(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

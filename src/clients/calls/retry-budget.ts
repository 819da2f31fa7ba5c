/** How many retries may be made at once after a long time without any. */
const mostTokens = 10
/** Each call that succeeds allows this part of a retry: at most a tenth of all calls are retries. */
const tokensOfSuccess = 0.1

/**
 * Limits the retries to one backend, so that an outage does not become a flood. Not counted is the first retry
 * of a call that no handler has seen, and each one after the end of its connection.
 */
export class RetryBudget {
  #tokens = mostTokens

  succeeded(): void {
    if (this.#tokens < mostTokens) this.#tokens = Math.min(mostTokens, this.#tokens + tokensOfSuccess)
  }

  /** Whether one more retry may be made; it is counted. */
  take(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

/** Limit for the requests of one caller in a time window. */
export interface RateLimit {
  readonly requests: number
  /** Length of the window, in ms. */
  readonly window: number
}

/** The state of a caller's window. */
export interface RateCount {
  /** Requests in the window, including this one. */
  readonly count: number
  /** Time until the window ends, in ms. */
  readonly endsIn: number
}

/** Counts requests by caller. To share the counts between instances, implement it on a database such as Redis. */
export interface RateLimitStore {
  /** Counts a request of `caller`. A window of `window` ms begins with the first request, and the next one after it has ended. */
  count(caller: string, window: number): RateCount | Promise<RateCount>
}

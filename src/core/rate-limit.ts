/** How many requests a caller may send in a window of time. */
export interface RateLimit {
  readonly requests: number
  /** In ms. */
  readonly window: number
}

/** How a caller stands in its window. */
export interface RateCount {
  /** Its requests in the window, this one included. */
  readonly count: number
  /** When the window ends, in ms from now. */
  readonly endsIn: number
}

/** Counts requests by caller. One that several instances share is an adapter of this to a database, such as Redis. */
export interface RateLimitStore {
  /** Counts a request of `caller`; its window of `window` ms begins with the first one, and anew after it has ended. */
  count(caller: string, window: number): RateCount | Promise<RateCount>
}

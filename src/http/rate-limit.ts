import {isIPv6} from 'node:net'
import type {Caller} from '../core/caller.ts'
import {Fault} from '../core/fault.ts'
import type {RateCount, RateLimit, RateLimitStore} from '../core/rate-limit.ts'

/** Limit for the callers in memory: beyond it, the oldest window is dropped. */
const maxCallers = 10_000

interface Window {
  count: number
  /** In ms since the epoch. */
  readonly end: number
}

/** Counts in the memory of this instance, without timers, which do not run in a frozen instance. */
export class MemoryRates implements RateLimitStore {
  /** In the order of the windows' beginnings. */
  readonly #windows = new Map<string, Window>()

  count(caller: string, length: number): RateCount {
    const now = Date.now()
    let window = this.#windows.get(caller)
    if (!window || window.end <= now) {
      this.#windows.delete(caller)
      const [oldest] = this.#windows.size >= maxCallers ? this.#windows.keys() : []
      if (oldest !== undefined) this.#windows.delete(oldest)
      window = {count: 0, end: now + length}
      this.#windows.set(caller, window)
    }
    return {count: ++window.count, endsIn: window.end - now}
  }
}

/** The key for counting: the verified caller, or else the address that the platform vouches for. */
export function ratedCaller(caller: Caller | undefined, address = 'unknown'): string {
  if (caller?.kind === 'token') return `token ${caller.issuer} ${caller.subject}`
  return caller ? `${caller.kind} ${caller.name}` : `address ${networkOf(address)}`
}

/** The /64 network of an IPv6 address: one caller has all of it. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped || !isIPv6(address)) return mapped ?? address
  const [head = '', tail] = address.toLowerCase().split('::')
  const first = head.split(':').filter(Boolean)
  const last = tail?.split(':').filter(Boolean) ?? []
  const groups = [...first, ...Array.from({length: 8 - first.length - last.length}, () => '0'), ...last]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

/**
 * The response headers about a caller's rate limit.
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
export function rateHeaders({requests, window}: RateLimit, {count, endsIn}: RateCount): Record<string, string> {
  const left = Math.max(0, requests - count)
  return {
    'ratelimit-policy': `"default";q=${requests};w=${window / 1000}`,
    ratelimit: `"default";r=${left};t=${secondsOf(endsIn)}`,
  }
}

/** @throws {Fault} 429 for a caller whose window is used up */
export function refuseBeyondRate({requests, window}: RateLimit, {count, endsIn}: RateCount): void {
  if (count <= requests) return
  throw new Fault('RESOURCE_EXHAUSTED', `More than ${requests} requests in ${window / 1000} s: try again later`, {
    reason: 'RATE_LIMIT_EXCEEDED',
    metadata: {limit: String(requests)},
    retryAfter: secondsOf(endsIn),
    hint: 'RATE_LIMIT is the limit of one caller',
  })
}

function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}

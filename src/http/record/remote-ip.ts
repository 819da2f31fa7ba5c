import type {IncomingMessage} from 'node:http'
import {isIP} from 'node:net'

/**
 * The address that `request` came from, as the platform vouches for it. Each hop adds the address that it was called
 * from to X-Forwarded-For, on the right; what stands left of the platform's own entries is whatever the caller wrote.
 */
export function remoteIp({headers, socket}: IncomingMessage, trustedHops: number): string | undefined {
  const entries = String(headers['x-forwarded-for'] ?? '').split(',')
  // Too few entries: the request did not come by way of all hops, so only the last entry is the platform's.
  const entry = entries[entries.length - 1 - trustedHops] ?? entries.at(-1)!
  return addressIn(entry.trim()) ?? socket.remoteAddress
}

/** The address of an entry, which some proxies write with the port. */
function addressIn(entry: string): string | undefined {
  const [, v6, v4] = /^\[(.+)\](?::\d+)?$|^([\d.]+)(?::\d+)?$/.exec(entry) ?? []
  const address = v6 ?? v4 ?? entry
  return isIP(address) ? address : undefined
}

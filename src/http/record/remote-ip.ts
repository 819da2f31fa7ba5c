import type {IncomingMessage} from 'node:http'
import {isIP} from 'node:net'

/**
 * The address of the caller, as the platform vouches for it. Each hop adds the address that it was called
 * from to the right of X-Forwarded-For. Entries to the left of the platform's own may be forged by the caller.
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

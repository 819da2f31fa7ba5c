import {constants} from 'node:http2'
import type {Backend} from '../../core/config.ts'
import {causes} from './causes.ts'

/** Why a connection was lost with calls in flight, for the backend's operator. */
interface Loss {
  /** The problem. */
  readonly is: string
  /** The remedy. */
  readonly change: string
}

const path = 'proxies, load balancers and NATs between these functions and the server'

/** The causes that other clients all report as "transport is closing". */
export const losses = {
  CREDENTIALS: {
    is: 'the server ended the TLS session',
    change: causes.CLIENT_CERTIFICATE.change(),
  },
  DISRUPTED: {
    is: 'what came was no valid HTTP/2',
    change: `look for what changes or mixes bytes on the way: ${path} must pass HTTP/2 on as it is`,
  },
  REJECTED: {
    is: 'the server, or a proxy before it, ended the connection for an error of HTTP/2',
    change: `look at the log of the server, and for what changes bytes on the way: ${path}`,
  },
  SHUT_DOWN: {
    is: 'the server shut down, and did not wait for its calls',
    change: 'have it end its calls before it exits: a graceful stop, and as much time for it as its calls take',
  },
  MAX_AGE: {
    is: 'the connection reached the age at which the server ends it',
    change: "raise the server's max_connection_age_grace above the time that its calls take",
  },
  TOO_MANY_PINGS: {
    is: 'the server took PINGs for an abuse: ENHANCE_YOUR_CALM',
    change: `lower the time that its keepalive policy wants between PINGs; these functions send at most two without a call: do ${path} send more?`,
  },
  RESET: {
    is: 'it was reset without a word',
    change: `did the server crash, run out of memory, or restart at that time? If not, look at the timeouts of ${path}`,
  },
  CLOSED: {
    is: 'it was closed without a word',
    change: `did the server exit without a graceful stop? If not, look at the timeouts of ${path}`,
  },
  SILENT: {
    is: 'nothing came any more, not even the answer to a PING',
    change: `did the machine of the server go away, or is there no way to it any more? Look at ${path}`,
  },
} as const satisfies Readonly<Record<string, Loss>>

export type LossName = keyof typeof losses

/** The error code and debug data of a peer's GOAWAY. */
export interface Goaway {
  readonly code: number
  readonly data: string
}

/** The loss that a GOAWAY indicates. */
export function lossBy({code, data}: Goaway): LossName {
  if (code === constants.NGHTTP2_ENHANCE_YOUR_CALM) return 'TOO_MANY_PINGS'
  if (code !== constants.NGHTTP2_NO_ERROR) return 'REJECTED'
  return /^max_(age|idle)$/.test(data) ? 'MAX_AGE' : 'SHUT_DOWN'
}

/** The loss that an error of the connection indicates. */
export function lossOf({code = '', message}: NodeJS.ErrnoException): LossName {
  if (/^ERR_SSL|^ERR_TLS/.test(code) || /\bSSL\b/.test(message)) return 'CREDENTIALS'
  return /^ERR_HTTP2/.test(code) ? 'DISRUPTED' : 'RESET'
}

/** The loss that the status details of a call indicate, if any. The error of its connection may be reported later. */
export function lossIn(details: string): LossName | undefined {
  if (/\b(read|write) E[A-Z]+$/.test(details)) return 'RESET'
  return /client error: .*(protocol|frame|flow.control|compression|header)/i.test(details) ? 'DISRUPTED' : undefined
}

/** The loss of a connection to `backend` and its remedy, in one line. */
export function adviceOn(name: LossName, {url}: Backend): string {
  const {is, change} = losses[name]
  return `the connection to ${url} broke off with calls in flight: ${is}: ${change}`
}

import type {IncomingMessage} from 'node:http'
import {inspect} from 'node:util'
import type {Fault} from '../core/fault.ts'

/** What came of a request. */
export interface Outcome {
  readonly status: number
  readonly fault: Fault | undefined
  readonly path: string
  readonly url: string
  /** Of the response's body. */
  readonly bytes: number
  /** In ms. */
  readonly latency: number
}

/**
 * The one record of a request, in Cloud Logging's names.
 * @see https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest
 */
export function requestRecord(request: IncomingMessage, {status, fault, path, url, bytes, latency}: Outcome) {
  // What fails after the head has gone out has left with a status that says all is well.
  const worst = Math.max(status, fault?.http ?? 0)
  const level = worst >= 500 ? 'error' : worst >= 400 ? 'warn' : 'info'
  const why = fault ? `: ${fault.message}${fault.hint ? ` (${fault.hint})` : ''}` : ''
  return {
    level,
    message: `${request.method} ${path} ${status} in ${Math.round(latency)} ms${why}`,
    fields: {
      httpRequest: {
        requestMethod: request.method,
        requestUrl: url,
        requestSize: request.headers['content-length'],
        status,
        responseSize: String(bytes),
        userAgent: request.headers['user-agent'],
        remoteIp: remoteIp(request),
        referer: request.headers.referer,
        latency: `${(latency / 1000).toFixed(6)}s`,
        protocol: `HTTP/${request.httpVersion}`,
      },
      ...(fault && {code: fault.code}),
      ...(fault?.cause !== undefined && (level === 'error' ? {err: fault.cause} : {cause: inLine(fault.cause)})),
    },
  } as const
}

function inLine(cause: unknown): string {
  return cause instanceof Error || typeof cause === 'string' ? String(cause) : inspect(cause, {breakLength: Infinity})
}

/** The first address of X-Forwarded-For: the caller's, unless it has set the header itself. */
function remoteIp(request: IncomingMessage): string | undefined {
  return (
    String(request.headers['x-forwarded-for'] ?? '')
      .split(',')[0]
      ?.trim() || request.socket.remoteAddress
  )
}

import type {IncomingMessage} from 'node:http'
import {inspect} from 'node:util'
import type {Config} from '../../core/config.ts'
import type {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {inSource} from '../../core/source-places.ts'
import {httpStatusOf} from '../response/failure.ts'
import {loggedPath, loggedUrl, withoutValues, withQuery} from './logged-url.ts'
import {remoteIp} from './remote-ip.ts'

/** Limit for a text in a record other than the message, in characters. */
const maxText = 1024

/** The outcome of a request. */
export interface Outcome {
  readonly status: number
  readonly fault: Fault | undefined
  /** The raw path from the request line. */
  readonly path: string
  /** The raw query after the first `?`. */
  readonly query: string
  /** Size of the response's body, in bytes. */
  readonly bytes: number
  /** In ms. */
  readonly latency: number
  /** Entries of X-Forwarded-For that are skipped, from the right. */
  readonly trustedHops: number
  readonly serviceContext: Config['serviceContext']
}

/**
 * The log record of a request, with Cloud Logging's names. It contains no values of the request: neither those of its query
 * nor those quoted by a message.
 * @see https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest
 */
export function requestRecord(request: IncomingMessage, outcome: Outcome) {
  const {status, fault, query, bytes, latency, trustedHops} = outcome
  const path = loggedPath(outcome.path)
  // A stream that fails after its head was sent has the status 200.
  const worst = Math.max(status, fault ? httpStatusOf(fault) : 0)
  const level = worst >= 500 ? 'error' : worst >= 400 ? 'warn' : 'info'
  const why = fault ? `: ${withoutValues(fault.logMessage, query)}${fault.hint ? ` (${fault.hint})` : ''}` : ''
  return {
    level,
    message: `${request.method} ${path} ${status} in ${Math.round(latency)} ms${why}`,
    fields: {
      httpRequest: {
        requestMethod: request.method,
        requestUrl: withQuery(path, query),
        requestSize: request.headers['content-length'],
        status,
        responseSize: String(bytes),
        userAgent: shortened(request.headers['user-agent'] ?? '', maxText) || undefined,
        remoteIp: remoteIp(request, trustedHops),
        referer: loggedUrl(request.headers.referer ?? ''),
        latency: `${(latency / 1000).toFixed(6)}s`,
        protocol: `HTTP/${request.httpVersion}`,
      },
      ...(fault && {code: fault.code}),
      ...(fault?.cause !== undefined && causeFields(fault.cause, level === 'error', query)),
      ...(fault && level === 'error' && errorEvent(fault, outcome)),
    },
  } as const
}

/**
 * The fields that make Error Reporting treat the record as an error, and group it by its stack.
 * @see https://cloud.google.com/error-reporting/docs/formatting-error-messages
 */
function errorEvent(fault: Fault, {query, serviceContext}: Outcome) {
  const {stack = ''} = fault.cause instanceof Error ? fault.cause : fault
  return {
    '@type': 'type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent',
    stack_trace: withoutValues(inSource(stack), query),
    ...(serviceContext && {serviceContext}),
  }
}

/** The log fields of a cause, with its stack if it is an error of this server. */
function causeFields(cause: unknown, isOurs: boolean, query: string) {
  if (isOurs) return {err: typeof cause === 'string' ? withoutValues(cause, query) : cause}
  return {cause: shortened(withoutValues(inLine(cause), query), maxText)}
}

function inLine(cause: unknown): string {
  return cause instanceof Error || typeof cause === 'string' ? String(cause) : inspect(cause, {breakLength: Infinity})
}

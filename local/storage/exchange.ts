import type {IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse} from 'node:http'
import {StorageError} from './error.ts'
import type {Faults, RequestKind} from './faults.ts'
import type {Route} from './route.ts'
import type {Store} from './store.ts'
import type {Resumables} from './uploads/resumable.ts'

/** One request and its response, updated while it is handled. */
export interface LoggedRequest {
  readonly method: string
  /** The raw path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Undefined if there is no operation for the request. */
  readonly kind?: RequestKind
  readonly bucket?: string
  readonly object?: string
  /** The Range header. */
  readonly range?: string
  /** 0 until the headers are sent. */
  status: number
  /** Bytes of the body written to the socket. */
  bytesSent: number
  /** Whether the connection ended before the answer, because of the client or a fault. */
  aborted: boolean
  /** Whether the request is over and cleaned up. */
  done: boolean
}

/** The context of one request. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly route: Route
  readonly log: LoggedRequest
  readonly store: Store
  readonly faults: Faults
  readonly resumables: Resumables
  /** Aborts when the response is over, whether complete or not. */
  readonly closed: AbortSignal
  /** The origin of this server, as in the client's URL: `http://127.0.0.1:40001`. */
  readonly origin: string
}

/** Sends the head of the answer. */
export function sendHead(exchange: Exchange, status: number, headers: OutgoingHttpHeaders): void {
  exchange.log.status = status
  exchange.response.writeHead(status, headers)
}

/** Sends the whole answer, with a short body. */
export function send(exchange: Exchange, status: number, headers: OutgoingHttpHeaders = {}, body = ''): void {
  const bytes = Buffer.from(body)
  // 204 and 304 have no body, so they get no Content-Length.
  const length = status === 204 || status === 304 ? {} : {'Content-Length': bytes.length}
  sendHead(exchange, status, {...headers, ...length})
  exchange.log.bytesSent += bytes.length
  exchange.response.end(bytes)
}

export function sendJson(exchange: Exchange, value: object, status = 200): void {
  const headers = {
    'Content-Type': 'application/json; charset=UTF-8',
    'Cache-Control': 'no-cache, no-store, max-age=0, must-revalidate',
  }
  send(exchange, status, headers, JSON.stringify(value))
}

/** The JSON object in the request's body; empty when there is no body. */
export async function readJson(exchange: Exchange): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  for await (const chunk of exchange.request) chunks.push(chunk)
  return parseJson(Buffer.concat(chunks).toString())
}

/** `text` as a JSON object; an empty text is an empty object. */
export function parseJson(text: string): Record<string, unknown> {
  if (text.trim() === '') return {}
  try {
    return Object(JSON.parse(text))
  } catch (cause) {
    throw Object.assign(new StorageError(400, 'Parse Error'), {cause})
  }
}

/** The value of a header that occurs once. */
export function headerOf(exchange: Exchange, name: string): string | undefined {
  const value = exchange.request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** The bucket and object of a route that has both. */
export function nameOf({route: {bucket, object}}: Exchange): {bucket: string; object: string} {
  if (!bucket || !object) throw new StorageError(400, 'Required')
  return {bucket, object}
}

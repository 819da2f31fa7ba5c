import {inspect} from 'node:util'
import {create, type DescMessage, type JsonValue, type MessageInitShape, toJsonString} from '@bufbuild/protobuf'
import {EventWriter, isFinal} from '../core/event-stream.ts'
import type {Fault} from '../core/fault.ts'

/** What a function answers. Who sends it, and that it is sent once, is the scope's affair. */
export interface Reply {
  /** The HTTP status; 200 unless given. */
  readonly status?: number
  /** Those that say how long the body is, and where it ends, follow from the body: given here, they are left out. */
  readonly headers?: Readonly<Record<string, string | string[]>>
  /** A value that is sent whole, or pieces that are sent as they come; nothing: an empty body. */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array>
  /** What is sent last when `body` fails after its first piece, before the connection is cut; nothing unless given. */
  readonly failure?: (fault: Fault) => string
  /** Whether the reader has to get that for certain: the response ends as a complete one then, and nothing is cut. */
  readonly endsWith?: (fault: Fault) => boolean
}

const jsonType = 'application/json; charset=utf-8'

/** `value` as JSON. */
export function json(value: JsonValue, {status = 200, headers = {}}: Omit<Reply, 'body'> = {}): Reply {
  return {status, headers: {'content-type': jsonType, ...headers}, body: JSON.stringify(value)}
}

/** A message in proto3's JSON mapping. */
export function message<Desc extends DescMessage>(schema: Desc, value: MessageInitShape<Desc>): Reply {
  return {headers: {'content-type': jsonType}, body: toJsonString(schema, create(schema, value))}
}

/** A failure, in the shape of AIP-193. */
export function failure(fault: Fault): Reply {
  return json(fault.toJSON(), {status: fault.http, headers: {...fault.headers}})
}

/** One JSON value a line, sent as they come; a failure is the last line. `values` are JSON already. */
export function ndjson(values: AsyncIterable<string>): Reply {
  return {
    headers: {'content-type': 'application/x-ndjson; charset=utf-8', 'cache-control': 'no-store'},
    // A line break in JSON stands between two tokens.
    body: mapped(values, (value) => `${value.replaceAll(/[\r\n]+/g, ' ')}\n`),
    failure: (fault) => `${JSON.stringify(fault.toJSON())}\n`,
  }
}

/**
 * One server-sent event a value, its `id` counting from 1, and one named `end` after the last; a failure is an event named
 * `error`. `values` are text, JSON mostly. A request that hadAllEvents() is to be answered with noMoreEvents instead.
 */
export function eventStream(values: AsyncIterable<string>): Reply {
  const events = new EventWriter()
  async function* body() {
    yield* mapped(values, (value) => events.next(value))
    yield events.end()
  }
  return {
    headers: {'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store'},
    body: body(),
    failure: (fault) => events.fail(fault, JSON.stringify(fault.toJSON())),
    endsWith: isFinal,
  }
}

/** Tells a browser that connects again that its event stream has had its last event. */
export const noMoreEvents: Reply = {status: 204, headers: {'cache-control': 'no-store'}}

/** Headers that say where a response ends: whoever sends it says that. */
const framing: ReadonlySet<string> = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding'])

/** The reply's own headers, in lower case. */
export function headersOf({headers = {}}: Reply): Record<string, string | string[]> {
  const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  return Object.fromEntries(named.filter(([name]) => !framing.has(name)))
}

/**
 * `reply` when it can be sent: what a function returns has a type, and may be anything all the same.
 * @throws {TypeError} saying what was wanted
 */
export function sendable(reply: Reply): Reply {
  if (typeof reply !== 'object' || reply === null) throw new TypeError(`Returned ${inspect(reply)}: wanted a reply`)
  const {status = 200, body = ''} = reply
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new TypeError(`Replied with status ${inspect(status)}: wanted one from 200 to 599`)
  }
  return isStream(body) ? reply : {...reply, body: piece(body)}
}

export function isStream(body: Reply['body']): body is AsyncIterable<string | Uint8Array> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

/**
 * `value` when it can be sent as a body, or as a piece of one.
 * @throws {TypeError} saying what was wanted
 */
export function piece(value: string | Uint8Array): string | Uint8Array {
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  throw new TypeError(`Replied with ${inspect(value, {depth: 0})} in the body: wanted text or bytes`)
}

async function* mapped<T, U>(values: AsyncIterable<T>, to: (value: T) => U): AsyncGenerator<U> {
  for await (const value of values) yield to(value)
}

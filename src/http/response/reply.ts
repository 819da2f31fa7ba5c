import {inspect} from 'node:util'
import {create, type DescMessage, type JsonValue, type MessageInitShape, toJsonString} from '@bufbuild/protobuf'
import type {ErrorShape} from '../../core/config.ts'
import type {Fault} from '../../core/fault.ts'
import {failureHeaders, failureJson, httpStatusOf} from './failure.ts'
import {type StreamType, type StreamWriter, streamWriter} from './stream-format.ts'

/** The response of a function, as values. serve() sends it, once. */
export interface Reply {
  /** The HTTP status; 200 unless given. */
  readonly status?: number
  /** Headers of framing, such as Content-Length, are left out: they follow from the body. */
  readonly headers?: Readonly<Record<string, string | string[]>>
  /** A value that is sent whole, or chunks that are sent as they come; the empty body unless given. */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array>
  /** Whether the head leaves before the first chunk of `body` is there; with it unless given. */
  readonly headFirst?: boolean
  /** HTTP trailers, behind a body that has ended well; an HTTP/1.0 caller gets none. */
  readonly trailers?: Readonly<Record<string, string | string[]>>
  /** The last chunk if `body` fails after its first one, before the connection is reset: none unless given. */
  readonly failureChunk?: (fault: Fault, shape: ErrorShape) => string | Uint8Array
  /** For a request for a WebSocket: runs on it, in place of a response. */
  readonly webSocket?: WebSocketReply
  /** Whether the response ends normally after that chunk instead of being reset: never unless given. */
  readonly endsCleanly?: (fault: Fault) => boolean
}

/** Text, or bytes. */
export type Frame = string | Uint8Array

/** The frames of one WebSocket. */
export interface WebSocketStream {
  /** The caller's frames, read on demand. An empty text frame ends them, because a WebSocket cannot be half-closed. */
  readonly frames: AsyncIterable<Frame>
  /** Sends a frame. Resolves when the kernel has accepted it. @throws {Fault} the reason of the request's signal */
  send(frame: Frame): Promise<void>
}

/** How a WebSocket is handled. */
export interface WebSocketReply {
  /** The subprotocol: one of those that the caller offers, or none. */
  readonly protocol: string | undefined
  /** Limit for one frame of the caller, in bytes. */
  readonly maxFrameBytes: number
  /** Interval of pings, in ms. */
  readonly ping: number
  /** Runs the WebSocket. When it resolves, the connection is closed with success. */
  run(stream: WebSocketStream): Promise<void>
}

const jsonType = 'application/json; charset=utf-8'

/**
 * A reply whose body is `value` as JSON.
 * @param options.status the HTTP status; default: 200
 * @param options.headers further headers, with priority over `content-type: application/json; charset=utf-8`
 * @example
 * const hello: Handler = () => json({hello: 'world'}, {headers: {'cache-control': 'max-age=60'}})
 */
export function json(value: JsonValue, {status = 200, headers = {}}: Omit<Reply, 'body'> = {}): Reply {
  return {status, headers: {'content-type': jsonType, ...headers}, body: JSON.stringify(value)}
}

/**
 * A reply whose body is a message in the JSON mapping of proto3 (ProtoJSON).
 * @param schema the message's generated schema
 * @param value the message, or its fields
 * @throws {Error} for a value that has no JSON, such as a Timestamp after the year 9999
 * @example
 * const pong: Handler = () => message(PongSchema, {message: 'hi'})
 */
export function message<Desc extends DescMessage>(schema: Desc, value: MessageInitShape<Desc>): Reply {
  return {headers: {'content-type': jsonType}, body: toJsonString(schema, create(schema, value))}
}

/** A failure, in `shape`. */
export function failureReply(fault: Fault, shape: ErrorShape): Reply {
  return json(failureJson(fault, shape), {status: httpStatusOf(fault), headers: failureHeaders(fault)})
}

/**
 * A stream of JSON values, one per line (`application/x-ndjson`). Each is sent when it is yielded. An error after the first value becomes
 * the last line, and the connection is reset, so that no client takes the stream for complete.
 * @param values JSON texts without line breaks
 * @example
 * const count: Handler = () =>
 *   ndjson(
 *     (async function* () {
 *       for (let n = 1; n <= 3; n++) yield JSON.stringify({n})
 *     })(),
 *   )
 */
export function ndjson(values: AsyncIterable<string>): Reply {
  return stream('application/x-ndjson', values, {'content-type': 'application/x-ndjson; charset=utf-8'})
}

/**
 * A stream of server-sent events (the HTML standard, section 9.2). Each value is an event with its number as `id`, starting at 1;
 * the last event is named `end`. An error after the first value becomes an event named `error`. A browser that reconnects after
 * `end` must get 204 instead.
 * @param values the data of each event, usually JSON
 * @example
 * const clock: Handler = (scope) =>
 *   eventStream(
 *     (async function* () {
 *       while (!scope.signal.aborted) {
 *         yield JSON.stringify({now: Date.now()})
 *         await new Promise((resolve) => setTimeout(resolve, 1000))
 *       }
 *     })(),
 *   )
 */
export function eventStream(values: AsyncIterable<string>): Reply {
  return stream('text/event-stream', values, {'content-type': 'text/event-stream; charset=utf-8'})
}

/** A value of a stream that stands for a pause. It is sent as a keep-alive, if the format has one. */
export const paused = Symbol('paused')

/** A value of a stream as JSON, and the id of its event; empty for no id. */
export interface Identified {
  readonly json: string
  readonly id: string
}

/** A body in the format of `type` from `values`, which are JSON texts. Each is sent when it is yielded. */
export function stream(type: StreamType, values: AsyncIterable<Value>, headers: Reply['headers'] = {}): Reply {
  const writer = streamWriter(type)
  return {
    headers: {'content-type': type, 'cache-control': 'no-store', ...headers},
    body: {[Symbol.asyncIterator]: () => new StreamText(values[Symbol.asyncIterator](), writer)},
    failureChunk: (fault, shape) => writer.fail(fault, shape),
    ...(writer.endsCleanly && {endsCleanly: writer.endsCleanly}),
  }
}

type Value = string | Identified | typeof paused

/** The text of a stream. Not a generator: it adds one promise to each value, and to what an idle stream holds. */
class StreamText implements AsyncIterator<string> {
  readonly #values: AsyncIterator<Value>
  readonly #writer: StreamWriter
  readonly #written: (next: IteratorResult<Value>) => IteratorResult<string> | Promise<IteratorResult<string>>
  #hasEnded = false

  constructor(values: AsyncIterator<Value>, writer: StreamWriter) {
    this.#values = values
    this.#writer = writer
    this.#written = (next) => {
      if (next.done) return this.#last()
      const value = textOf(writer, next.value)
      return value ? {done: false, value} : this.next()
    }
  }

  next(): Promise<IteratorResult<string>> {
    if (this.#hasEnded) return Promise.resolve({done: true, value: undefined})
    return Promise.resolve(this.#values.next()).then(this.#written)
  }

  async return(): Promise<IteratorResult<string>> {
    this.#hasEnded = true
    await this.#values.return?.()
    return {done: true, value: undefined}
  }

  #last(): IteratorResult<string> {
    this.#hasEnded = true
    const value = this.#writer.end()
    return value ? {done: false, value} : {done: true, value: undefined}
  }
}

function textOf(writer: StreamWriter, value: Value): string {
  if (value === paused) return writer.idle
  return typeof value === 'string' ? writer.next(value) : writer.next(value.json, value.id)
}

/** Tells a browser that reconnects that its event stream is complete. */
export const noMoreEvents: Reply = {status: 204, headers: {'cache-control': 'no-store'}}

/** Headers about the framing of a response, which only the responder sets. */
const framing: ReadonlySet<string> = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding'])

/** The reply's own headers, in lower case. */
export function headersOf({headers = {}}: Reply): Record<string, string | string[]> {
  const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  return Object.fromEntries(named.filter(([name]) => !framing.has(name)))
}

/**
 * Returns `reply` if it can be sent. A function in JavaScript may return anything.
 * @throws {TypeError} saying what was expected
 */
export function sendable(reply: Reply): Reply {
  if (typeof reply !== 'object' || reply === null) throw new TypeError(`Returned ${inspect(reply)}: expected a reply`)
  const {status = 200, body = ''} = reply
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new TypeError(`Replied with status ${inspect(status)}: expected one from 200 to 599`)
  }
  return isStream(body) ? reply : {...reply, body: chunk(body)}
}

export function isStream(body: Reply['body']): body is AsyncIterable<string | Uint8Array> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

/**
 * Returns `value` if it can be sent as a body, or as a chunk of one.
 * @throws {TypeError} saying what was expected
 */
export function chunk(value: string | Uint8Array): string | Uint8Array {
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  throw new TypeError(`Replied with ${inspect(value, {depth: 0})} in the body: expected text or bytes`)
}

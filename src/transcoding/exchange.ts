import type {DescMessage, DescMethod, Message, Registry} from '@bufbuild/protobuf'
import {hadAllEvents} from '../core/event-stream.ts'
import {type Cursor, cursorIn} from './event-id.ts'
import {NoBody} from './json/no-body.ts'
import {bodyForm, negotiate, type StreamType, streamTypes, unaryTypes} from './media.ts'
import {type MessageStream, messageStream} from './message-stream.ts'
import {type MetadataEntry, type MetadataOptions, type RequestHeaders, requestMetadata} from './metadata.ts'
import {bodyReaderOf, type Part, type RequestDecoder, type Resumption} from './requests.ts'
import {answersRaw, type Encoded, encodeResponse, rawOf, responseJson} from './responses.ts'
import type {Binding} from './rules/bindings.ts'
import type {Match} from './rules/router.ts'

/** A request less its body. */
export interface RequestHead {
  /** Names in lower case. */
  readonly headers: RequestHeaders
  /** Raw, without the `?`. */
  readonly query?: string | undefined
  readonly contentType?: string | undefined
  /** Whether a body follows; it may turn out to be empty. */
  readonly hasBody: boolean
}

/** Everything that the head of a request decides: what goes to the backend, and how both bodies are read and written. */
export interface Exchange {
  readonly input: DescMessage
  /** The metadata of the call. */
  readonly metadata: readonly MetadataEntry[]
  readonly request: RequestReading
  readonly response: ResponseWriting
}

/** How the request's body becomes messages. A message throws a Fault, 400, for what it cannot be made of. */
export type RequestReading =
  /** The rule takes no body: the one message is of path and query, and `check` refuses a body that says something. */
  | {readonly body: 'none'; message(): Message; readonly check: NoBody}
  /** One message, of the whole body; of path and query alone where none follows. */
  | {readonly body: 'whole'; message(body?: Uint8Array | string): Message}
  /** One message, of the parts of a multipart/form-data body. */
  | {readonly body: 'parts'; message(parts: Iterable<Part>): Message}
  /** Messages, while the body arrives. */
  | {readonly body: 'stream'; readonly messages: MessageStream}

/** How answers become the response's body. Encoding throws a Fault, 500, for a message that has no JSON. */
export type ResponseWriting =
  /** The one answer. */
  | {readonly body: 'whole'; encode(message: Message): Encoded}
  /** The JSON of each answer, to be framed as `type`. */
  | {
      readonly body: 'stream'
      readonly type: StreamType
      encode(message: Message): string
      /** The id of a message's event, empty for none; left out where events are numbered. */
      eventId?: ((message: Message) => string) | undefined
    }
  /** The bytes of each answer's google.api.HttpBody. */
  | {readonly body: 'raw stream'; encode(message: Message): Encoded}

/** What the exchanges of one binding have in common; made once. */
export interface ExchangeOptions {
  readonly decoder: RequestDecoder
  readonly registry: Registry
  readonly metadata?: MetadataOptions | undefined
  /** How the method's events are resumed; undefined: they are numbered. */
  readonly cursor?: Cursor | undefined
  /** Limit for one message of a client stream, in bytes: 1 MiB unless given. */
  readonly maxMessageBytes?: number | undefined
}

/** How the frames of a WebSocket become messages, and messages frames: each is one. */
export interface FrameExchange {
  readonly method: DescMethod
  readonly metadata: readonly MetadataEntry[]
  /** The request message of a frame of JSON. @throws {Fault} 400 */
  json(text: string): Message
  /** @throws {Fault} 500 for what has no JSON */
  encode(message: Message): string
}

/** The clients set these for every call; a value that metadata cannot hold is no reason to fail. */
const setByClients = {
  'x-request-id': undefined,
  traceparent: undefined,
  tracestate: undefined,
  'x-cloud-trace-context': undefined,
} as const

/**
 * Decides all that the head of a request decides, before any of its body is read.
 * @returns undefined for a browser that connects again although its event stream is complete
 * @throws {Fault} 406 for Accept, 415 for Content-Type, 400 naming the header, path variable or parameter
 */
export function exchangeOf(
  {binding, captures}: Match<Binding>,
  head: RequestHead,
  options: ExchangeOptions,
): Exchange | undefined {
  const response = responseWriting(binding, head, options)
  if (response === undefined) return undefined
  return {
    input: binding.method.input,
    response,
    request: requestReading(binding, captures, head, options, resumption(head, response, options)),
    metadata: requestMetadata({...head.headers, ...setByClients}, options.metadata),
  }
}

/** Decides what the head of a request for a WebSocket decides. @throws {Fault} 400 naming the header, path variable or parameter */
export function frameExchangeOf(
  {binding, captures}: Match<Binding>,
  {headers, query}: RequestHead,
  {decoder, registry, metadata}: ExchangeOptions,
): FrameExchange {
  const messages = decoder.begin(captures, query, {repeats: true})
  return {
    method: binding.method,
    metadata: requestMetadata({...headers, ...setByClients}, metadata),
    json: (text) => messages.json(text),
    encode: (message) => responseJson(binding, message, registry),
  }
}

function responseWriting(binding: Binding, {headers}: RequestHead, {registry, cursor}: ExchangeOptions) {
  const {methodKind} = binding.method
  const raw = answersRaw(binding)
  const accept = headers.accept as string | undefined
  if (methodKind === 'unary' || methodKind === 'client_streaming') {
    if (!raw) negotiate(accept, unaryTypes)
    return {body: 'whole', encode: (message) => encodeResponse(binding, message, registry)} satisfies ResponseWriting
  }
  if (raw) return {body: 'raw stream', encode: (message) => rawOf(binding, message)} satisfies ResponseWriting
  const type = negotiate(accept, streamTypes)
  if (type === 'text/event-stream' && hadAllEvents(headers['last-event-id'] as string | undefined)) return undefined
  return {
    body: 'stream',
    type,
    encode: (message) => responseJson(binding, message, registry),
    eventId: type === 'text/event-stream' ? cursor?.idOf : undefined,
  } satisfies ResponseWriting
}

/** The place that a browser goes on from, when it connects again. */
function resumption(
  {headers}: RequestHead,
  response: ResponseWriting,
  {cursor}: ExchangeOptions,
): Resumption | undefined {
  const id = headers['last-event-id'] as string | undefined
  if (!id || !cursor || response.body !== 'stream' || !response.eventId) return undefined
  return {plan: cursor.after, text: cursorIn(id)}
}

function requestReading(
  binding: Binding,
  captures: readonly string[],
  {query, contentType, hasBody}: RequestHead,
  {decoder, maxMessageBytes}: ExchangeOptions,
  resumption: Resumption | undefined,
): RequestReading {
  const reader = bodyReaderOf(binding)
  if (reader === undefined) {
    const messages = decoder.begin(captures, query, {resumption})
    return {body: 'none', message: () => messages.bare(), check: new NoBody(binding.rule, contentType)}
  }
  // A body that turns out to be empty is the empty message, whatever its type.
  const form = hasBody ? bodyForm(contentType, reader) : undefined
  const repeats = isClientStream(binding)
  const messages = decoder.begin(captures, query, {contentType, repeats, resumption})
  if (repeats) {
    return {body: 'stream', messages: messageStream(messages, {raw: reader === 'raw', maxBytes: maxMessageBytes})}
  }
  if (form === 'multipart') return {body: 'parts', message: (parts) => messages.form(parts)}
  if (reader === 'raw') {
    const isSent = (body: Uint8Array | string) => body.length > 0 || contentType !== undefined
    return {body: 'whole', message: (body = '') => (isSent(body) ? messages.raw(body) : messages.bare())}
  }
  const read = form === 'form' ? messages.formText : messages.jsonText
  return {body: 'whole', message: (body = '') => (body.length > 0 ? read(body) : messages.bare())}
}

function isClientStream({method: {methodKind}}: Binding): boolean {
  return methodKind === 'client_streaming' || methodKind === 'bidi_streaming'
}

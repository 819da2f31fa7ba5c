import type {DescMessage, DescMethod, Message} from '@bufbuild/protobuf'
import type {Dialect} from '../core/dialect.ts'
import {hadAllEvents} from '../core/event-stream.ts'
import {Fault} from '../core/fault.ts'
import type {Conventions} from './conventions/conventions.ts'
import {namedEtag} from './conventions/etag.ts'
import {ReadMask} from './conventions/read-mask.ts'
import {addRouting, pathRouting, routingHeader} from './conventions/routing-header.ts'
import type {SystemParameters} from './conventions/system-parameters.ts'
import {type Cursor, cursorIn} from './event-id.ts'
import {put} from './fields/assign.ts'
import type {FieldPath} from './fields/fields.ts'
import {NoBody} from './json/no-body.ts'
import {bodyForm, isForm, negotiate, offered, type StreamType, unaryTypes} from './media.ts'
import {type MessageStream, messageStream} from './message-stream.ts'
import {type MetadataEntry, type MetadataOptions, type RequestHeaders, requestMetadata} from './metadata.ts'
import {bodyReaderOf, goingOn, type MessageReader, type Part, type RequestDecoder} from './requests.ts'
import {
  answersRaw,
  type Encoded,
  encodeResponse,
  type JsonWriting,
  rawOf,
  responseJson,
  type View,
  valueAt,
} from './responses.ts'
import type {Binding} from './rules/bindings.ts'
import type {Match} from './rules/router.ts'
import type {ValueCount} from './value-count.ts'

/** A request without its body. */
export interface RequestHead {
  /** Names in lower case. */
  readonly headers: RequestHeaders
  /** Raw, without the `?`. */
  readonly query?: string | undefined
  readonly contentType?: string | undefined
  /** Whether a body follows; it may turn out to be empty. */
  readonly hasBody: boolean
  /** As in the request's first line. */
  readonly method?: string
  readonly path?: string
}

/** Everything that the head of a request decides: the metadata for the backend, and how both bodies are read and written. */
export interface Exchange {
  readonly input: DescMessage
  /** The metadata of the call. */
  readonly metadata: readonly MetadataEntry[]
  readonly request: RequestReading
  readonly response: ResponseWriting
  /** Whether the request names the etag that the resource must have. If it has another one, the answer is 412. */
  readonly isConditional: boolean
}

/** How the request's body becomes messages. Making a message throws a Fault, 400, for a malformed body. */
export type RequestReading =
  /** The rule takes no body: the one message comes from path and query. `check` refuses a body that is not empty or `{}`. */
  | {readonly body: 'none'; message(): Message; readonly check: NoBody | undefined}
  /** One message from the whole body, or from path and query alone when there is no body. */
  | {readonly body: 'whole'; message(body?: Uint8Array | string): Message}
  /** One message from the parts of a multipart/form-data body. */
  | {readonly body: 'parts'; message(parts: Iterable<Part>): Message}
  /** Many messages, decoded while the body arrives. */
  | {readonly body: 'stream'; readonly messages: MessageStream}

/** How answers become the response's body. Encoding throws a Fault, 500, for a message that has no JSON. */
export type ResponseWriting =
  /** The one answer. */
  | {readonly body: 'whole'; encode(message: Message): Encoded}
  /** The JSON of each answer, to be framed for the media type `type`. */
  | {
      readonly body: 'stream'
      readonly type: StreamType
      /** The Content-Type, where it differs from `type`. */
      readonly contentType?: string | undefined
      encode(message: Message): string
      /** The id of a message's event, empty for none. Left out where events are numbered. */
      eventId?: ((message: Message) => string) | undefined
    }
  /** The bytes of each answer's google.api.HttpBody. */
  | {readonly body: 'raw stream'; encode(message: Message): Encoded}

/** What all exchanges of one binding share; made once. */
export interface ExchangeOptions {
  readonly decoder: RequestDecoder
  readonly dialect: Dialect
  readonly writing: JsonWriting
  readonly metadata?: MetadataOptions | undefined
  /** How the method's events are resumed; undefined where they are numbered. */
  readonly cursor?: Cursor | undefined
  /** Which of Google's conventions the binding follows; none unless given. */
  readonly conventions?: Conventions | undefined
  /** Limit for one message of a client stream, in bytes: 1 MiB unless given. */
  readonly maxMessageBytes?: number | undefined
}

/** How the frames of a WebSocket become messages and back: one frame holds one message. */
export interface FrameExchange {
  readonly method: DescMethod
  readonly metadata: readonly MetadataEntry[]
  /** Decodes a text frame, whose payload is JSON. @throws {Fault} 400 */
  json(text: string): Message
  /** Decodes a binary frame, whose payload is a message in the protobuf wire format. @throws {Fault} 400 */
  binary(bytes: Uint8Array): Message
  /** Encodes an answer as JSON. @throws {Fault} 500 for a message that has no JSON form */
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
  const {conventions, cursor, metadata: metadataOptions} = options
  const {request, messages} = requestReading(binding, captures, head, options)
  const response = responseWriting(binding, head, options, messages.system)
  if (response === undefined) return undefined
  const id = headerIn(head, 'last-event-id')
  if (id && cursor && response.body === 'stream' && response.eventId)
    messages.finish(goingOn(cursor.after, cursorIn(id)))
  const metadata = requestMetadata({...head.headers, ...setByClients}, metadataOptions)
  const {method} = binding
  const isConditional = conventions ? concern(conventions, {binding, captures, head, messages, metadata}) : false
  return {input: method.input, response, request, metadata, isConditional}
}

interface Concerned {
  readonly binding: Binding
  readonly captures: readonly string[]
  readonly head: RequestHead
  readonly messages: MessageReader
  readonly metadata: MetadataEntry[]
}

/** Applies `conventions` to the request. Returns whether the request is conditional: carried out only if its etag matches. */
function concern(conventions: Conventions, {binding, captures, head, messages, metadata}: Concerned): boolean {
  const {routing, ifMatch, etags} = conventions
  refuseUnreadCondition(head)
  addPathRouting(conventions, captures, metadata)
  // The metadata of a stream is sent before its first message is known.
  if (routing && !isClientStream(binding)) {
    messages.finish((message) => addRouting(metadata, routingHeader(message, routing)))
  }
  const header = headerIn(head, 'if-match')
  if (header === undefined) return false
  const etag = etags.fieldFor(header)
  if (etag === undefined) return false
  if (!ifMatch) {
    if (safe.has(binding.httpMethod)) return false
    throw Fault.invalid('if-match', `Cannot compare etags: ${nameOf(binding)} takes none`)
  }
  messages.finish((message, count) => putEtag(message, ifMatch, etag, count))
  return true
}

/** Adds a routing header from the path's variables, unless the method has an option for it. */
function addPathRouting(
  {routing, variables}: Conventions,
  captures: readonly string[],
  metadata: MetadataEntry[],
): void {
  if (routing || variables.length === 0) return
  addRouting(metadata, pathRouting(variables, captures))
}

function isRead({method}: RequestHead): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** Methods that change nothing. */
const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

function putEtag(message: Message, path: FieldPath, etag: string, count: ValueCount): void {
  const there = String(valueAt(message, path) ?? '')
  if (there && there !== etag)
    throw Fault.invalid('if-match', 'Header If-Match has another etag than the request itself')
  if (!there) put(message, path, etag, {name: 'if-match', mayRepeat: false}, count)
}

function nameOf({method: {name, parent}}: Binding): string {
  return `${parent.typeName}/${name}`
}

function headerIn({headers}: RequestHead, name: string): string | undefined {
  return headers[name] as string | undefined
}

/** Decides what the head of a request for a WebSocket decides. @throws {Fault} 400 naming the header, path variable or parameter */
export function frameExchangeOf(
  {binding, captures}: Match<Binding>,
  {headers, query}: RequestHead,
  {decoder, writing, metadata: metadataOptions, conventions}: ExchangeOptions,
): FrameExchange {
  const messages = decoder.begin(captures, query, {repeats: true})
  const metadata = requestMetadata({...headers, ...setByClients}, metadataOptions)
  if (conventions) addPathRouting(conventions, captures, metadata)
  return {
    method: binding.method,
    metadata,
    json: messages.json,
    binary: messages.binary,
    encode: (message) => responseJson(binding, message, writing),
  }
}

function responseWriting(
  binding: Binding,
  head: RequestHead,
  {dialect, writing: written, cursor, conventions}: ExchangeOptions,
  system: SystemParameters,
): ResponseWriting | undefined {
  const {methodKind} = binding.method
  const raw = answersRaw(binding)
  const accept = headerIn(head, 'accept')
  const view = viewOf(binding, system)
  const writing = view?.enumAsInteger ? {...written, enumAsInteger: true} : written
  if (methodKind === 'unary' || methodKind === 'client_streaming') {
    if (system.alt === 'sse') throw noAlt('json')
    if (system.alt === 'media' && !raw) throw noAlt('json')
    if (!raw && system.alt === undefined) negotiate(accept, unaryTypes)
    const encode = (message: Message) => encodeResponse(binding, message, writing, view)
    if (!conventions?.concernsAnswer) return {body: 'whole', encode}
    return {body: 'whole', encode: (message) => withHeaders(encode(message), message, head, conventions)}
  }
  if (raw) return {body: 'raw stream', encode: (message) => rawOf(binding, message)}
  if (system.alt === 'media') throw noAlt('json" or "sse')
  const type = system.alt ? altTypes[system.alt] : negotiate(accept, offered[dialect.streams])
  if (type === 'text/event-stream' && hadAllEvents(headerIn(head, 'last-event-id'))) return undefined
  const isWrapped = dialect.streamResults && type !== 'text/event-stream'
  const isLines = dialect.streams === 'lines' && type === 'application/json'
  return {
    body: 'stream',
    type: isLines ? 'application/x-ndjson' : type,
    contentType: isLines ? type : undefined,
    encode: isWrapped
      ? (message) => `{"result":${responseJson(binding, message, writing, view)}}`
      : (message) => responseJson(binding, message, writing, view),
    eventId: type === 'text/event-stream' ? cursor?.idOf : undefined,
  }
}

const altTypes = {json: 'application/json', sse: 'text/event-stream'} as const satisfies Record<string, StreamType>

/** How the query wants the answer presented; undefined for no change. @throws {Fault} 400 */
function viewOf(binding: Binding, system: SystemParameters): View | undefined {
  const {fields, enumAsInteger = false, prettyPrint: isPretty = false} = system
  if (fields === undefined && !enumAsInteger && !isPretty) return undefined
  const {method, responseBody} = binding
  const mask = fields === undefined ? undefined : new ReadMask(responseBody ?? method.output, fields.text, fields.name)
  return {enumAsInteger, isPretty, mask}
}

function noAlt(expected: string): Fault {
  return Fault.invalid('alt', `Cannot answer in this format: expected "${expected}"`)
}

/** Adds the headers that come from the answer's fields; 304 without a body when the caller has this version already. */
function withHeaders(encoded: Encoded, answer: Message, head: RequestHead, conventions: Conventions): Encoded {
  const {etags, etagOf, locationOf, nextPage} = conventions
  const etag = etagOf && etags.headerFor(etagOf(answer))
  const location = locationOf?.(answer)
  const link = nextPage?.(answer, head.path ?? '', head.query ?? '')
  const headers = {...(etag && {etag}), ...(location && {location}), ...(link && {link})}
  const known = headerIn(head, 'if-none-match')
  const had = etag && known !== undefined && isRead(head) ? namedEtag(etag, known) : undefined
  if (had) return {...encoded, body: '', status: 304, headers: {...headers, etag: had}}
  return {...encoded, headers, ...(location && {status: 201})}
}

/** A change is never made unconditionally although its caller has set a condition (RFC 9110 13.2.1). @throws {Fault} 400 */
function refuseUnreadCondition(head: RequestHead): void {
  const {method = 'GET'} = head
  if (safe.has(method) || headerIn(head, 'if-none-match') === undefined) return
  throw Fault.invalid('if-none-match', `Cannot compare etags before a ${method}: expected If-Match`)
}

interface Reading {
  readonly request: RequestReading
  readonly messages: MessageReader
}

function requestReading(
  binding: Binding,
  captures: readonly string[],
  {query, contentType, hasBody}: RequestHead,
  {decoder, maxMessageBytes, dialect}: ExchangeOptions,
): Reading {
  const reader = bodyReaderOf(binding)
  if (reader === undefined) {
    const messages = decoder.begin(captures, query)
    if (hasBody && dialect.forms === 'query' && isForm(contentType)) {
      return {messages, request: {body: 'whole', message: (body = '') => messages.formAsQuery(body)}}
    }
    const check = dialect.unexpectedBody === 'ignore' ? undefined : new NoBody(binding.rule, contentType)
    return {messages, request: {body: 'none', message: () => messages.bare(), check}}
  }
  // An empty body is the empty message, whatever its Content-Type.
  const isAnything = dialect.contentTypes === 'any' && reader !== 'raw'
  const form = hasBody ? (isAnything ? 'json' : bodyForm(contentType, reader)) : undefined
  const repeats = isClientStream(binding)
  const messages = decoder.begin(captures, query, {contentType, repeats})
  const raw = reader === 'raw'
  if (repeats) {
    return {messages, request: {body: 'stream', messages: messageStream(messages, {raw, maxBytes: maxMessageBytes})}}
  }
  if (form === 'multipart') return {messages, request: {body: 'parts', message: (parts) => messages.form(parts)}}
  const read = raw ? messages.raw : form === 'form' ? messages.formText : messages.jsonText
  const isSent = (body: Uint8Array | string) => body.length > 0 || (raw && contentType !== undefined)
  return {
    messages,
    request: {body: 'whole', message: (body = '') => (isSent(body) ? read(body) : messages.bare())},
  }
}

function isClientStream({method: {methodKind}}: Binding): boolean {
  return methodKind === 'client_streaming' || methodKind === 'bidi_streaming'
}

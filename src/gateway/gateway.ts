import {type DescMethod, fromBinary, type Message} from '@bufbuild/protobuf'
import type {Metadata} from '@grpc/grpc-js'
import type {Call} from '../clients/calls.ts'
import {invoke} from '../clients/interceptors.ts'
import {type CallOptions, callOf, onlyAnswer} from '../clients/service-client.ts'
import {config} from '../core/config.ts'
import {hadAllEvents, isFinal} from '../core/event-stream.ts'
import {log} from '../core/log.ts'
import {atMost} from '../core/waiting.ts'
import {compressed} from '../http/compress.ts'
import {allowCors, isPreflight} from '../http/cors.ts'
import {failure, json, noMoreEvents, type Reply} from '../http/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {negotiate, streamTypes, unaryTypes} from '../transcoding/media.ts'
import {type MetadataEntry, requestMetadata, responseHeaders, trailerHeaders} from '../transcoding/metadata.ts'
import {answersRaw, rawOf} from '../transcoding/responses.ts'
import type {Binding} from '../transcoding/rules/bindings.ts'
import {type Match, type Unrouted, unroutedFault} from '../transcoding/rules/router.ts'
import {streamEncoder} from '../transcoding/streams.ts'
import {exposure} from './exposure.ts'
import {metadataOptions} from './metadata.ts'
import {RequestReader} from './request-reader.ts'
import {documentPath, loadTranscoder, refuseRulesAt, refuseUnknownBackends} from './schema.ts'

const {errors, ignoreUnknown, eventStreamPing, messageTimeout} = config.gateway
const fromCaller = metadataOptions(config.gateway)
const transcoder = loadTranscoder(config.gateway)
const reader = new RequestReader(transcoder, config.gateway)
refuseUnknownBackends(transcoder, config)
const backends = new Map(
  transcoder.bindings.map(({method}) => [method.parent.typeName, config.backendOf(method.parent.typeName)]),
)
log.info(exposure(transcoder))

/** Any method of any proto, by its google.api.http rules: all four kinds. */
export const gateway: Handler = async (scope) => {
  if (scope.path === documentPath && ['GET', 'HEAD'].includes(scope.method)) return await description(scope)
  const match = transcoder.route(scope.method, scope.path)
  if (!('binding' in match)) return unbound(scope, withDocument(scope, match))
  if (match.binding.httpMethod !== 'OPTIONS' && isPreflight(scope)) return {status: 204}
  const {methodKind} = match.binding.method
  return await (methodKind === 'unary' || methodKind === 'client_streaming' ? whole : streamed)(scope, match)
}

/**
 * Says that requests for `paths` never get here: another function of this instance takes them.
 * @throws {ConfigError} with a line for each rule that is for one of them
 */
export function leavePaths(paths: readonly string[]): void {
  refuseRulesAt(transcoder, paths)
}

gateway.before = (scope) => {
  if (errors === 'status') scope.failure = (fault) => json(fault.toStatusJson(), failure(fault))
}
// A rule can be bound to OPTIONS.
gateway.answersOptions = true

let document: Promise<string> | undefined

/** The description of all that is served. */
async function description(scope: Scope): Promise<Reply> {
  document ??= describe()
  return await compressed(scope, {headers: {'content-type': 'application/json'}, body: await document})
}

/** What no rule takes: OPTIONS, 404 and 405. */
function unbound(scope: Scope, unrouted: Unrouted): Reply {
  allowCors(scope, unrouted.allow)
  if (unrouted.status === 204) return {status: 204, headers: {allow: unrouted.allow.join(', ')}}
  throw unroutedFault(unrouted, scope.method, scope.path)
}

/** The document takes GET, whatever else rules with a wildcard take at its path. */
function withDocument({method, path}: Scope, unrouted: Unrouted): Unrouted {
  if (path !== documentPath) return unrouted
  const allow = [...new Set([...unrouted.allow, 'GET', 'HEAD', 'OPTIONS'])].sort()
  return {status: method === 'OPTIONS' ? 204 : 405, allow}
}

/** OpenAPI 3.1, from the table that requests are routed by; made when first asked for. */
async function describe(): Promise<string> {
  const {openApi} = await import('../transcoding/openapi/openapi.ts')
  return JSON.stringify(openApi({...transcoder, ...config.openApi, errors, ignoreUnknown}))
}

/** One answer: of a unary call, or of a client stream. */
async function whole(scope: Scope, match: Match<Binding>): Promise<Reply> {
  const {binding} = match
  if (!answersRaw(binding)) negotiate(scope.headers.accept, unaryTypes)
  const call = await callFor(scope, match)
  const answer = await scope.track(telling(scope, call, onlyAnswer(call)))
  const {contentType, body} = transcoder.encodeResponse(binding, answer)
  const headers = {...headersOf(call), ...trailersOf(call), 'content-type': contentType}
  return await compressed(scope, {headers, body})
}

/** Answers as they come. What fails before the first of them has a status of its own. */
async function streamed(scope: Scope, match: Match<Binding>): Promise<Reply> {
  const {binding} = match
  const type = answersRaw(binding) ? undefined : negotiate(scope.headers.accept, streamTypes)
  if (type === 'text/event-stream' && hadAllEvents(scope.headers['last-event-id'])) return noMoreEvents
  const encoder = type && streamEncoder(type, errors)
  const call = await callFor(scope, match)
  const messages = invoke(call)[Symbol.asyncIterator]() as AsyncIterator<Message>
  endWith(scope, messages)
  if (!encoder) return await rawStream(scope, binding, call, messages)
  const idle = encoder.idle()
  const pieces = pausing(messages, idle ? eventStreamPing : Number.POSITIVE_INFINITY)
  const first = await telling(scope, call, pieces.next())
  async function* body() {
    for (let piece = first; !piece.done; piece = await pieces.next()) {
      const {value} = piece
      yield value === nothing ? idle : encoder!.next(transcoder.encodeMessage(binding, value))
    }
    const last = encoder!.end()
    if (last) yield last
  }
  return {
    headers: {...headersOf(call), 'content-type': encoder.contentType, 'cache-control': 'no-store'},
    body: body(),
    failure: (fault) => encoder.fail(fault),
    ...(type === 'text/event-stream' && {endsWith: isFinal}),
  }
}

/** The bytes of one google.api.HttpBody after the other, in the type that the first one names. */
async function rawStream(scope: Scope, binding: Binding, call: Call, messages: AsyncIterator<Message>): Promise<Reply> {
  const first = await telling(scope, call, messages.next())
  async function* body() {
    for (let next = first; !next.done; next = await messages.next()) yield rawOf(binding, next.value).body
  }
  const contentType = first.done ? 'application/octet-stream' : rawOf(binding, first.value).contentType
  return {headers: {...headersOf(call), 'content-type': contentType}, body: body()}
}

const nothing = Symbol('nothing came')

/** `messages`, and `nothing` whenever none has come for `ms`. */
async function* pausing(messages: AsyncIterator<Message>, ms: number): AsyncGenerator<Message | typeof nothing> {
  for (;;) {
    const pending = messages.next()
    if (ms !== Number.POSITIVE_INFINITY) while (!(await atMost(ms, pending))) yield nothing
    const next = await pending
    if (next.done) return
    yield next.value
  }
}

/** Ends the call when its request is over, whether anybody has read all of its answers or not. */
function endWith(scope: Scope, messages: AsyncIterator<Message>): void {
  const end = () => void scope.track(Promise.try(() => messages.return?.()).catch(() => {}))
  scope.signal.addEventListener('abort', end, {once: true})
}

/** These go with every call of ours; one that metadata cannot hold is no reason to fail. */
const ours = {
  'x-request-id': undefined,
  traceparent: undefined,
  tracestate: undefined,
  'x-cloud-trace-context': undefined,
} as const

/** 100 levels of JSON are up to 300 of messages, in a google.protobuf.Struct: an echo of what is read can be answered. */
const recursionLimit = 500

async function callFor(scope: Scope, match: Match<Binding>): Promise<Call> {
  const {method} = match.binding
  const backend = backends.get(method.parent.typeName)!
  const requests = await reader.read(scope, match)
  const call = callOf(scope, backend, method, requests, limitsOf(method))
  call.types = transcoder.registry
  call.deserialize = (bytes) => fromBinary(method.output, bytes, {recursionLimit})
  for (const [key, value] of requestMetadata({...scope.headers, ...ours}, fromCaller)) {
    call.metadata.add(key, typeof value === 'string' ? value : Buffer.from(value))
  }
  return call
}

/** A stream lasts as long as its request. Only a server stream is not to be silent: in a chat it may be the caller's turn. */
function limitsOf({methodKind}: DescMethod): CallOptions {
  if (methodKind === 'unary') return {}
  return {timeout: Number.POSITIVE_INFINITY, ...(methodKind === 'server_streaming' && {messageTimeout})}
}

/** `work` for `call`; when it fails, the answer carries what the backend sent beside its status. */
async function telling<T>(scope: Scope, call: Call, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const sent = isGrpc(call) ? {...headersOf(call), ...trailersOf(call)} : {}
    for (const [name, value] of Object.entries(sent)) scope.also[name] = [value].flat().join(', ')
    throw error
  }
}

/** Whether a gRPC server answered: the headers of another one, in front of it, are nobody's metadata. */
function isGrpc({header, trailer}: Call): boolean {
  return /^application\/grpc/.test(String((header ?? trailer)?.get('content-type')[0]))
}

function headersOf({header}: Call): Record<string, string | string[]> {
  return merged(responseHeaders(entriesOf(header)))
}

function trailersOf({trailer}: Call): Record<string, string | string[]> {
  return merged(trailerHeaders(entriesOf(trailer)))
}

/** Several values of one name, as Node wants them. */
function merged(headers: readonly [name: string, value: string][]): Record<string, string | string[]> {
  const byName: Record<string, string | string[]> = {}
  for (const [name, value] of headers) {
    const before = byName[name]
    byName[name] = before === undefined ? value : [before, value].flat()
  }
  return byName
}

function* entriesOf(metadata: Metadata | undefined): Generator<MetadataEntry> {
  if (!metadata) return
  for (const key of Object.keys(metadata.getMap())) for (const value of metadata.get(key)) yield [key, value]
}

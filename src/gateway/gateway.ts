import {type DescMethod, fromBinary, type Message} from '@bufbuild/protobuf'
import type {Metadata} from '@grpc/grpc-js'
import type {Call} from '../clients/calls.ts'
import {invoke} from '../clients/interceptors.ts'
import type {Runtime} from '../clients/runtime.ts'
import {type CallOptions, callOf, onlyAnswer} from '../clients/service-client.ts'
import type {Backend, GatewayConfig} from '../core/config.ts'
import {hadAllEvents} from '../core/event-stream.ts'
import {atMost} from '../core/waiting.ts'
import {compressed} from '../http/compress.ts'
import {noMoreEvents, paused, type Reply, stream} from '../http/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {negotiate, streamTypes, unaryTypes} from '../transcoding/media.ts'
import {
  type MetadataEntry,
  type MetadataOptions,
  requestMetadata,
  responseHeaders,
  trailerHeaders,
} from '../transcoding/metadata.ts'
import {answersRaw, rawOf} from '../transcoding/responses.ts'
import type {Binding} from '../transcoding/rules/bindings.ts'
import {type Match, type Unrouted, unroutedFault} from '../transcoding/rules/router.ts'
import type {Transcoder} from '../transcoding/transcoder.ts'
import {exposure} from './exposure.ts'
import {metadataOptions} from './metadata.ts'
import {RequestReader} from './request-reader.ts'
import {
  documentPath,
  loadTranscoder,
  refuseRulesAt,
  refuseUnknownBackends,
  refuseUnknownMethods,
  type Schema,
} from './schema.ts'

/** How a gateway differs from what its runtime's configuration says. */
export interface GatewayOptions extends Partial<GatewayConfig> {
  /**
   * What is served unless GATEWAY_DESCRIPTORS names a file: a google.protobuf.FileDescriptorSet with all imports, as a
   * file's path or as its bytes, or what protobuf-es made of one.
   */
  readonly schema?: Schema
  /** Paths that never get here, because another function of the instance takes them. */
  readonly taken?: readonly string[]
}

/** What one gateway serves, and how: made once. */
interface Gateway {
  readonly runtime: Runtime
  readonly settings: GatewayConfig
  readonly transcoder: Transcoder
  readonly reader: RequestReader
  /** By the full name of the service. */
  readonly backends: ReadonlyMap<string, Backend>
  readonly metadata: MetadataOptions
  /** By the binding of the request. */
  readonly accesses: ReadonlyMap<Binding, {readonly name: string}>
  /** OpenAPI 3.1, from the table that requests are routed by; made when first asked for. */
  document: Promise<string> | undefined
}

/**
 * A function that serves any method of any proto by its google.api.http rules, all four kinds.
 * @throws {ConfigError} with a line for each rule that cannot be served, and for a service without a backend
 * @example
 * register(runtime, {gateway: (runtime) => gateway(runtime, {schema: 'src/gen/descriptors.binpb'})})
 */
export function gateway(runtime: Runtime, {schema, taken = [], ...given}: GatewayOptions = {}): Handler {
  const {config, log} = runtime
  const settings = {...config.gateway, ...given}
  const transcoder = loadTranscoder(settings, schema)
  refuseUnknownBackends(transcoder, config, schema)
  refuseUnknownMethods(transcoder, config, schema)
  refuseRulesAt(transcoder, taken)
  const names = new Set(transcoder.bindings.map(({method}) => method.parent.typeName))
  const served: Gateway = {
    runtime,
    settings,
    transcoder,
    reader: new RequestReader(transcoder, settings),
    backends: new Map([...names].map((name) => [name, config.backendOf(name)])),
    metadata: metadataOptions(settings),
    accesses: new Map(transcoder.bindings.map((binding) => [binding, {name: nameOf(binding.method)}])),
    document: undefined,
  }
  log.info(exposure(transcoder))
  const choose = (scope: Scope) => choice(served, scope)
  return Object.assign((scope: Scope) => choose(scope)(scope), {choose, errorShape: settings.errors})
}

/** What `scope` is for: routed here, once, so that who may call is judged by what is called. */
function choice(served: Gateway, scope: Scope): Handler {
  const {transcoder, settings, accesses} = served
  const errorShape = settings.errors
  if (scope.path === documentPath && ['GET', 'HEAD'].includes(scope.method)) {
    return Object.assign(() => description(served, scope), {errorShape, access: {name: documentPath}})
  }
  try {
    const match = transcoder.route(scope.method, scope.path)
    if (!('binding' in match)) return unbound(withDocument(scope, match), errorShape)
    const {methodKind} = match.binding.method
    const respond = methodKind === 'unary' || methodKind === 'client_streaming' ? whole : streamed
    return Object.assign(() => respond(served, scope, match), {
      errorShape,
      access: accesses.get(match.binding)!,
      answersOptions: match.binding.httpMethod === 'OPTIONS',
    })
  } catch (error) {
    const refuse = (): never => {
      throw error
    }
    return Object.assign(refuse, {errorShape})
  }
}

function nameOf({name, parent}: DescMethod): string {
  return `${parent.typeName}/${name}`
}

/** The description of all that is served. */
async function description(served: Gateway, scope: Scope): Promise<Reply> {
  served.document ??= describe(served)
  return await compressed(scope, {headers: {'content-type': 'application/json'}, body: await served.document})
}

/** What no rule takes: OPTIONS, 404 and 405. */
function unbound(unrouted: Unrouted, errorShape: GatewayConfig['errors']): Handler {
  const refuse = ({method, path}: Scope): never => {
    throw unroutedFault(unrouted, method, path)
  }
  return Object.assign(refuse, {errorShape, ...(unrouted.allow.length > 0 && {methods: unrouted.allow})})
}

/** The document takes GET, whatever else rules with a wildcard take at its path. */
function withDocument({method, path}: Scope, unrouted: Unrouted): Unrouted {
  if (path !== documentPath) return unrouted
  const allow = [...new Set([...unrouted.allow, 'GET', 'HEAD', 'OPTIONS'])].sort()
  return {status: method === 'OPTIONS' ? 204 : 405, allow}
}

async function describe({runtime, transcoder, settings: {errors, ignoreUnknown}}: Gateway): Promise<string> {
  const {openApi} = await import('../transcoding/openapi/openapi.ts')
  return JSON.stringify(openApi({...transcoder, ...runtime.config.openApi, errors, ignoreUnknown}))
}

/** One answer: of a unary call, or of a client stream. */
async function whole(served: Gateway, scope: Scope, match: Match<Binding>): Promise<Reply> {
  const {binding} = match
  if (!answersRaw(binding)) negotiate(scope.headers.accept, unaryTypes)
  const call = await callFor(served, scope, match)
  const answer = await scope.track(telling(scope, call, onlyAnswer(call)))
  const {contentType, body} = served.transcoder.encodeResponse(binding, answer)
  const headers = {...headersOf(call), ...trailersOf(call), 'content-type': contentType}
  return await compressed(scope, {headers, body})
}

/** Answers as they come. What fails before the first of them has a status of its own. */
async function streamed(served: Gateway, scope: Scope, match: Match<Binding>): Promise<Reply> {
  const {binding} = match
  const type = answersRaw(binding) ? undefined : negotiate(scope.headers.accept, streamTypes)
  if (type === 'text/event-stream' && hadAllEvents(scope.headers['last-event-id'])) return noMoreEvents
  const call = await callFor(served, scope, match)
  const messages = invoke(call)[Symbol.asyncIterator]() as AsyncIterator<Message>
  endWith(scope, messages)
  if (!type) return await rawStream(scope, binding, call, messages)
  const {eventStreamPing} = served.settings
  const answers = type === 'text/event-stream' ? withPauses(messages, eventStreamPing) : messages
  const first = await telling(scope, call, answers.next())
  async function* values() {
    for (let next = first; !next.done; next = await answers.next()) {
      yield next.value === paused ? paused : served.transcoder.encodeMessage(binding, next.value)
    }
  }
  return stream(type, values(), headersOf(call))
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

/** `messages`, and `paused` whenever none has come for `ms`. */
async function* withPauses(messages: AsyncIterator<Message>, ms: number): AsyncGenerator<Message | typeof paused> {
  for (;;) {
    const pending = messages.next()
    while (!(await atMost(ms, pending))) yield paused
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

async function callFor(served: Gateway, scope: Scope, match: Match<Binding>): Promise<Call> {
  const {method} = match.binding
  const {runtime, transcoder, settings, reader} = served
  const backend = served.backends.get(method.parent.typeName)!
  const requests = await reader.read(scope, match)
  const call = callOf(runtime, {life: scope, backend, method, requests}, limitsOf(method, settings))
  call.types = transcoder.registry
  call.deserialize = (bytes) => fromBinary(method.output, bytes, {recursionLimit})
  for (const [key, value] of requestMetadata({...scope.headers, ...ours}, served.metadata)) {
    call.metadata.add(key, typeof value === 'string' ? value : Buffer.from(value))
  }
  return call
}

/** A stream lasts as long as its request. Only a server stream is not to be silent: in a chat it may be the caller's turn. */
function limitsOf({methodKind}: DescMethod, {messageTimeout}: GatewayConfig): CallOptions {
  if (methodKind === 'unary') return {}
  return {timeout: Number.POSITIVE_INFINITY, ...(methodKind === 'server_streaming' && {messageTimeout})}
}

/** `work` for `call`; when it fails, the answer carries what the backend sent beside its status. */
async function telling<T>(scope: Scope, call: Call, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const sent = isGrpc(call) ? {...headersOf(call), ...trailersOf(call)} : {}
    for (const [name, value] of Object.entries(sent)) scope.responseHeaders[name] = [value].flat().join(', ')
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

import {type DescMethod, fromBinary} from '@bufbuild/protobuf'
import type {Call, Requests} from '../clients/call.ts'
import type {Runtime} from '../clients/runtime.ts'
import {type CallOptions, callOf} from '../clients/service-client.ts'
import {type PageFile, pageFileAt, pagePaths, schemaPath} from '../console/paths.ts'
import {type Backend, ConfigError, type GatewayConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {gatewayChannel} from '../core/telemetry/start-channels.ts'
import {securityOf} from '../http/access.ts'
import {hasBody} from '../http/request/body.ts'
import {compressed} from '../http/response/compress.ts'
import {noMoreEvents, type Reply} from '../http/response/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {type MessageRouting, messageRoutingOf} from '../transcoding/conventions/routing-of-message.ts'
import type {Exchange, RequestHead} from '../transcoding/exchange.ts'
import {LazyMap} from '../transcoding/lazy-map.ts'
import {isForm} from '../transcoding/media.ts'
import type {Binding} from '../transcoding/rules/bindings.ts'
import {type Match, type Unrouted, unroutedFault} from '../transcoding/rules/router.ts'
import type {Transcoder} from '../transcoding/transcoder.ts'
import {answerOf} from './answers.ts'
import {learnContract} from './contract.ts'
import {exposure} from './exposure.ts'
import {nameOf, toolMethods, unableMethods} from './mcp/selection.ts'
import type {McpServed} from './mcp/served.ts'
import {metadataOptions, proofHeaders} from './metadata.ts'
import {readRequests} from './read-requests.ts'
import {ReflectedSchema} from './reflected.ts'
import {failureFor, RpcPaths} from './rpc/paths.ts'
import {
  documentPath,
  type Loaded,
  loadTranscoder,
  refuseUnknownBackends,
  refuseUnknownMethods,
  type Schema,
} from './schema.ts'
import type {CallsServed, Sent} from './served.ts'

/** Options of a gateway. They have priority over its runtime's configuration. */
export interface GatewayOptions extends Partial<GatewayConfig> {
  /**
   * The schema, unless GATEWAY_DESCRIPTORS names a file: a google.protobuf.FileDescriptorSet with all imports, as a file's path or as
   * bytes, or a registry of protobuf-es.
   */
  readonly schema?: Schema
  /** Paths whose requests never get here, because another function of the instance handles them. */
  readonly taken?: readonly string[]
  /** Paths of the Model Context Protocol, if MCP is on: `/mcp` unless given. */
  readonly mcpPaths?: readonly string[]
  /** The functions at the paths of `taken`, which the page of CONSOLE shows too. */
  readonly functions?: ReadonlyMap<string, Handler>
}

/** One gateway with its schema and settings; made once. */
interface Gateway {
  readonly runtime: Runtime
  readonly settings: GatewayConfig
  readonly transcoder: Transcoder
  /** Timeout of a call, in ms, by the method's name in `accesses`. */
  readonly deadlines: ReadonlyMap<string, number>
  readonly checkOf: Loaded['checkOf']
  /** By the full name of the service. */
  readonly backends: ReadonlyMap<string, Backend>
  /** By the binding of the request. */
  readonly accesses: ReadonlyMap<Binding, {readonly name: string}>
  /** Whether methods are served as REST, by their rules. */
  readonly rest: boolean
  /** The paths of Connect and gRPC-Web; undefined where neither is served. */
  rpc?: RpcPaths
  /** The handler of the Model Context Protocol, by its paths; empty where it is not served. */
  mcp: ReadonlyMap<string, Handler>
  /** The OpenAPI 3.1 document, from the same bindings that requests are routed by. Made on first use. */
  document: Promise<string> | undefined
  /** The same in OpenAPI 3.2. */
  document32: Promise<string> | undefined
  /** The functions beside it, by their paths. */
  readonly functions: Map<string, Handler>
  /** Marks the schema as possibly outdated, so that it is fetched again. */
  readonly doubt?: (() => void) | undefined
  /** The schema for the page of CONSOLE. Made on first use. */
  pageSchema: Promise<string> | undefined
}

/**
 * A function that serves any method of any proto, all four kinds: by its google.api.http rules, by Connect and by gRPC-Web.
 * @throws {ConfigError} with a line for each rule that cannot be served, unless GATEWAY_UNSERVABLE is `warn`, and for a service without a backend
 * @example
 * register(runtime, {gateway: (runtime) => gateway(runtime, {schema: 'src/gen/descriptors.binpb'})})
 */
export function gateway(runtime: Runtime, options: GatewayOptions = {}): Handler {
  const settings = {...runtime.config.gateway, ...options}
  const functions = new Map(options.functions)
  const choose =
    settings.schemaSource === 'reflection'
      ? chooseByReflection(runtime, settings, {...options, functions})
      : chooseBy(gatewayOf(runtime, settings, {...options, functions}))
  return Object.assign((scope: Scope) => choose(scope)(scope), {
    choose,
    errorShape: settings.errors,
    webSockets: settings.webSocket,
    paths: settings.mcp ? (options.mcpPaths ?? ['/mcp']) : undefined,
    beside: (others: ReadonlyMap<string, Handler>) => {
      // A function that is already at this path stays.
      for (const [path, handler] of others) if (!functions.has(path)) functions.set(path, handler)
    },
  })
}

function chooseBy(served: Gateway): (scope: Scope) => Handler {
  return (scope) => choice(served, scope)
}

/** The inputs of a gateway beside its settings. */
interface Parts extends Pick<GatewayOptions, 'schema' | 'taken' | 'mcpPaths'> {
  readonly functions: Map<string, Handler>
  /** The schema of other functions, whose services may also be named in variables; `schema` unless given. */
  readonly own?: Schema | undefined
  /** Marks the schema as possibly outdated, so that it is fetched again. */
  readonly doubt?: () => void
}

/** @throws {ConfigError} with a line for each rule that cannot be served, and for a service without a backend */
function gatewayOf(
  runtime: Runtime,
  settings: GatewayConfig,
  {schema, own = schema, taken = [], mcpPaths = ['/mcp'], functions, doubt}: Parts,
): Gateway {
  const {config, log} = runtime
  const {transcoder, deadlines, checkOf, notes} = loadTranscoder(settings, schema, {
    taken: [
      ...taken,
      ...(settings.console && settings.protocols.includes('rest') ? pagePaths : []),
      ...(settings.mcp ? mcpPaths : []),
    ],
    proofs: proofHeaders(config.auth),
  })
  refuseUnknownBackends(transcoder, config, own)
  refuseUnknownMethods(transcoder, config, own)
  learnContract(transcoder, runtime)
  const names = new Set(transcoder.bindings.map(({method}) => method.parent.typeName))
  const served: Gateway = {
    runtime,
    settings,
    transcoder,
    deadlines,
    checkOf,
    backends: new Map([...names].map((name) => [name, config.backendOf(name)])),
    accesses: new LazyMap(transcoder.bindings, ({method}) => ({name: nameOf(method)})),
    rest: settings.protocols.includes('rest'),
    mcp: new Map(),
    document: undefined,
    document32: undefined,
    functions,
    pageSchema: undefined,
    doubt,
  }
  if (settings.protocols.some((protocol) => protocol !== 'rest')) served.rpc = rpcOf(served)
  if (settings.mcp) {
    const handler = mcpOf(served)
    served.mcp = new Map(mcpPaths.map((path) => [path, handler]))
  }
  for (const note of notes) log.warn(note)
  log.info(exposure(transcoder))
  gatewayChannel.publish({document: () => documentOf(served)})
  return served
}

/** Chooses the handler when the schema comes from reflection. While there is no schema, nothing is open: a path may be any method's. */
function chooseByReflection(runtime: Runtime, settings: GatewayConfig, parts: Parts): (scope: Scope) => Handler {
  if (settings.descriptors !== undefined) {
    throw new ConfigError('GATEWAY_SCHEMA="reflection": expected no GATEWAY_DESCRIPTORS beside it')
  }
  if (runtime.config.backends.length === 0) {
    throw new ConfigError('BACKEND_URL is not set: expected the URL of a backend to ask for its schema')
  }
  const errorShape = settings.errors
  const schema: ReflectedSchema<Gateway> = new ReflectedSchema(runtime, settings.schemaMaxAge, (registry) =>
    gatewayOf(runtime, settings, {...parts, own: parts.schema, schema: registry, doubt: () => schema.doubt()}),
  )
  gatewayChannel.publish({document: async () => await documentOf(await schema.get())})
  const protocols = new Set(settings.protocols)
  const mcpPaths = settings.mcp ? (parts.mcpPaths ?? ['/mcp']) : []
  const failureOf = (scope: Scope) => (mcpPaths.includes(scope.path) ? mcpFailure : failureFor(scope, protocols))
  const refusing = (error: unknown, failure: Handler['failure']): Handler => {
    const refuse = (): never => {
      throw error
    }
    return Object.assign(refuse, {errorShape, failure})
  }
  const prepare = async (scope: Scope) => {
    try {
      return choice(await schema.get(), scope)
    } catch (error) {
      return refusing(error, failureOf(scope))
    }
  }
  const pending = (scope: Scope): Handler =>
    Object.assign(() => noMoreEvents, {errorShape, prepare, failure: failureOf(scope)})
  return (scope) => {
    const current = schema.current
    // The page shows why the schema is missing.
    return current ? choice(current, scope) : (pageFilePart(runtime, settings, scope) ?? pending(scope))
  }
}

/** The handler for `scope`. Requests are routed here, once, so that access is decided by the method that is called. */
function choice(served: Gateway, scope: Scope): Handler {
  const {settings, accesses, rest, rpc} = served
  const errorShape = settings.errors
  const mcp = served.mcp.get(scope.path)
  if (mcp) return mcp
  if (scope.path === documentPath && ['GET', 'HEAD'].includes(scope.method) && rest) {
    return Object.assign(() => description(served, scope), {errorShape, access: {name: documentPath}})
  }
  const page = settings.console ? pagePart(served, scope) : undefined
  if (page) return page
  try {
    if (scope.webSocket && settings.webSocket && rest) return webSocketChoice(served, scope, scope.webSocket)
    const chosen = rpc?.choose(scope)
    if (chosen) return chosen
    const match = rest ? routed(served, scope) : unknown
    if (!('binding' in match)) {
      if (match.allow.length === 0) served.doubt?.()
      const refused = rpc?.unrouted(scope, match) ?? match
      if (typeof refused === 'function') return refused
      return unbound(rest ? withDocument(scope, refused) : refused, scope, settings)
    }
    const failure = rpc?.failureAt(scope)
    return Object.assign(() => answer(served, scope, match), {
      errorShape,
      ...(failure && {failure}),
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

/** The handler for a WebSocket. Its request is always a GET, so it is for the client-streaming method at its path, for any HTTP method. */
function webSocketChoice(served: Gateway, scope: Scope, offered: readonly string[]): Handler {
  const {transcoder, settings, accesses} = served
  const match = transcoder.routeStream(scope.path)
  const open = async () => {
    scope.span?.routed(pathIn(match.binding))
    const {webSocketReply} = await import('./web-socket.ts')
    const frames = transcoder.frames(match, headOf(scope))
    const callWith = (requests: Requests) => newCall(served, scope, match.binding.method, {requests, ...frames})
    return webSocketReply({frames, offered, settings, callWith})
  }
  return Object.assign(open, {errorShape: settings.errors, access: accesses.get(match.binding)!})
}

/** The route where REST is not served: none. */
const unknown: Unrouted = {status: 404, allow: []}

/** The handler of the Model Context Protocol, for the methods of REST except client-streaming ones. Its code is loaded on first use. */
function mcpOf(served: Gateway): Handler {
  const {runtime, settings, transcoder} = served
  const {title, version} = runtime.config.openApi
  const all = servedMethods(transcoder)
  const methods = toolMethods(all, settings.tools)
  const unable = unableMethods(all)
  if (unable.length > 0) runtime.log.info(`Not served as tools, because they take a stream: ${unable.join(', ')}`)
  const access = {name: '/mcp', oneOf: methods.map(({method}) => nameOf(method))}
  const mcp: McpServed = {...callsOf(served), title, version, transcoder, methods, access}
  // Access is decided again once the body has been read, which names the method.
  const answer = async (scope: Scope) => {
    scope.span?.routed(scope.path)
    const {answerMcp} = await import('./mcp/answer.ts')
    return answerMcp(mcp, scope)
  }
  return Object.assign(answer, {methods: ['POST'], access, failure: mcpFailure})
}

async function mcpFailure(fault: Fault): Promise<Reply> {
  return (await import('./mcp/failure.ts')).mcpFailure(fault)
}

/** The paths of Connect and gRPC-Web, for the same methods as REST. */
function rpcOf(served: Gateway): RpcPaths {
  const {transcoder, doubt} = served
  return new RpcPaths({
    ...callsOf(served),
    registry: transcoder.registry,
    methods: servedMethods(transcoder),
    doubt,
  })
}

/** The methods that are served by REST. */
function servedMethods({bindings}: Transcoder): DescMethod[] {
  return [...new Set(bindings.map(({method}) => method))]
}

function callsOf(served: Gateway): CallsServed {
  const {runtime, settings, checkOf, transcoder} = served
  const routings = new Map<DescMethod, MessageRouting | undefined>()
  return {
    settings,
    checkOf,
    routingOf: (method) => {
      if (!routings.has(method)) routings.set(method, messageRoutingOf(method, transcoder.conventions))
      return routings.get(method)
    },
    metadata: {...metadataOptions(settings), proofs: proofHeaders(runtime.config.auth)},
    callOf: (scope, method, sent) => newCall(served, scope, method, sent),
  }
}

/** The route of a request. Where forms are read as queries, a POST of a form also matches routes of GET. */
function routed(
  {transcoder, settings}: Gateway,
  {method, path, headers, contentType}: Scope,
): Match<Binding> | Unrouted {
  if (settings.forms !== 'query' || method !== 'POST' || !isForm(contentType)) return transcoder.route(method, path)
  const override = headers['x-http-method-override']
  if (override) return transcoder.route(String(override).toUpperCase(), path)
  const match = transcoder.route(method, path)
  const other = 'binding' in match ? match : transcoder.route('GET', path)
  return 'binding' in other ? other : match
}

async function answer(served: Gateway, scope: Scope, match: Match<Binding>): Promise<Reply> {
  const {settings} = served
  scope.span?.routed(pathIn(match.binding))
  const exchange = served.transcoder.exchange(match, headOf(scope))
  if (!exchange) return noMoreEvents
  const call = await callFor(served, scope, match.binding.method, exchange)
  const reply = answerOf(scope, call, exchange.response, {
    ping: settings.eventStreamPing,
    trailers: settings.trailers,
  })
  const {doubt} = served
  if (doubt) reply.catch((error) => void (error instanceof Fault && error.code === 'UNIMPLEMENTED' && doubt()))
  return await (exchange.isConditional ? reply.catch(refuseCondition) : reply)
}

/** The template of a binding, as its proto has it. */
function pathIn({rule}: Binding): string {
  return /"(.*)"/s.exec(rule)?.[1] ?? rule
}

/** Converts a backend's error about an etag that does not match to 412 (AIP-154). */
function refuseCondition(error: unknown): never {
  if (!(error instanceof Fault) || (error.code !== 'ABORTED' && error.code !== 'FAILED_PRECONDITION')) throw error
  const {code, message, details, types} = error
  throw new Fault(code, message, {details: [...details], types, cause: error, http: 412})
}

function headOf({method, path, headers, rawQuery, contentType}: Scope): RequestHead {
  return {method, path, headers, query: rawQuery, contentType, hasBody: hasBody(headers)}
}

/** Answers with the OpenAPI document. */
async function description(served: Gateway, scope: Scope): Promise<Reply> {
  const body = await (versionIn(scope) === '3.2' ? document32Of(served) : documentOf(served))
  return await compressed(scope, {headers: {'content-type': 'application/json'}, body})
}

/** The requested version of OpenAPI. The default is 3.1, as many generators do not know 3.2 yet. @throws {Fault} 400 */
function versionIn({query}: Scope): '3.1' | '3.2' {
  const version = query.get('version') ?? '3.1'
  if (version === '3.1' || version === '3.2') return version
  throw Fault.invalid('version', `Cannot answer in version "${shortened(version)}" of OpenAPI: expected 3.1 or 3.2`)
}

function document32Of(served: Gateway): Promise<string> {
  served.document32 ??= documentOf(served).then(async (document) => {
    const {inVersion32} = await import('../transcoding/openapi/version.ts')
    return JSON.stringify(inVersion32(JSON.parse(document)))
  })
  return served.document32
}

function documentOf(served: Gateway): Promise<string> {
  served.document ??= describe(served)
  return served.document
}

/** The handler for the page's own data. It has the same access rules as the OpenAPI document. */
function pagePart(served: Gateway, scope: Scope): Handler | undefined {
  const {runtime, settings} = served
  if (scope.path !== schemaPath || !isForPage(settings, scope)) return pageFilePart(runtime, settings, scope)
  const {errors: errorShape} = settings
  return Object.assign(() => pageSchema(served, scope), {errorShape, access: {name: documentPath}})
}

/**
 * The handler for the page's files. They are open: they are the same for everybody and contain nothing about the API, and a browser
 * sends no token when it loads them.
 */
function pageFilePart(runtime: Runtime, settings: GatewayConfig, scope: Scope): Handler | undefined {
  const file = isForPage(settings, scope) ? pageFileAt(scope.path, scope.headers.accept) : undefined
  const open = {errorShape: settings.errors, access: {isOpen: true as const}}
  return file && Object.assign(() => pageFile(file, runtime), open)
}

/** Whether a request may be for the page, which needs REST to call methods. */
function isForPage(settings: GatewayConfig, {method, webSocket}: Scope): boolean {
  return (
    settings.console && settings.protocols.includes('rest') && !webSocket && (method === 'GET' || method === 'HEAD')
  )
}

async function pageFile(file: PageFile, {config}: Runtime): Promise<Reply> {
  const {pageFile} = await import('../console/console.ts')
  const {uploadSessions, storageEmulator} = config
  return pageFile(file, uploadSessions && new URL(storageEmulator ?? 'https://storage.googleapis.com').origin)
}

async function pageSchema(served: Gateway, scope: Scope): Promise<Reply> {
  served.pageSchema ??= describeForPage(served)
  return await compressed(scope, {headers: {'content-type': 'application/json'}, body: await served.pageSchema})
}

async function describeForPage({runtime, settings, transcoder, functions}: Gateway): Promise<string> {
  const {pageSchema} = await import('../console/schema.ts')
  const {title, version} = runtime.config.openApi
  const {security} = securityOf(runtime)
  const others = [...functions].map(([path, {form}]) => ({path, ...form}))
  return JSON.stringify(
    pageSchema(transcoder.bindings, {title, version, security, webSocket: settings.webSocket, functions: others}),
  )
}
const statuses = {'404': 404, '405': 405, '501': 501} as const

/** The handler for requests without a route: OPTIONS, 404 and 405. */
function unbound(
  unrouted: Unrouted,
  {method, path}: Scope,
  {errors: errorShape, methodNotAllowed}: GatewayConfig,
): Handler {
  const {status, allow} = unrouted
  const refuse = (): never => {
    throw unroutedFault(status === 405 ? {status: statuses[methodNotAllowed], allow} : unrouted, method, path)
  }
  if (allow.length === 0) return Object.assign(refuse, {errorShape, unrouted: true})
  // The header Allow is sent with 405, and with the answer to OPTIONS.
  const isAnswered = methodNotAllowed === '405' || method === 'OPTIONS'
  return Object.assign(refuse, {errorShape, ...(isAnswered && {methods: allow})})
}

/** Adds the OpenAPI document's GET to what rules with a wildcard allow at its path. */
function withDocument({method, path}: Scope, unrouted: Unrouted): Unrouted {
  if (path !== documentPath) return unrouted
  const allow = [...new Set([...unrouted.allow, 'GET', 'HEAD', 'OPTIONS'])].sort()
  return {status: method === 'OPTIONS' ? 204 : 405, allow}
}

async function describe({runtime, transcoder, settings: {errors}}: Gateway): Promise<string> {
  const {openApi} = await import('../transcoding/openapi/openapi.ts')
  return JSON.stringify(openApi({...transcoder, ...runtime.config.openApi, ...securityOf(runtime), errors}))
}

/** Nesting limit for answers. 100 levels of JSON are up to 300 levels of messages, in a google.protobuf.Struct, and must be writable. */
const recursionLimit = 500

async function callFor(served: Gateway, scope: Scope, method: DescMethod, exchange: Exchange): Promise<Call> {
  const requests = await readRequests(scope, exchange, served.settings)
  return newCall(served, scope, method, {requests, metadata: exchange.metadata})
}

function newCall(served: Gateway, scope: Scope, method: DescMethod, {requests, metadata}: Sent): Call {
  const {runtime, transcoder, settings} = served
  const backend = served.backends.get(method.parent.typeName)!
  const call = callOf(
    runtime,
    {life: scope, backend, method, requests},
    limitsOf(method, settings, served.deadlines.get(nameOf(method))),
  )
  call.types = transcoder.registry
  call.deserialize = (bytes) => fromBinary(method.output, bytes, {recursionLimit})
  for (const [key, value] of metadata) {
    call.metadata.add(key, typeof value === 'string' ? value : Buffer.from(value))
  }
  return call
}

/**
 * Timeouts of a call. A stream may last as long as its request. Only a server stream has a limit for each message: in a bidirectional
 * one it may be the caller's turn.
 * @param deadline timeout from GATEWAY_RULES, in ms: for the answer, or for each message of a server stream
 */
function limitsOf({methodKind}: DescMethod, {messageTimeout}: GatewayConfig, deadline?: number): CallOptions {
  const timeout = deadline ?? (methodKind === 'unary' ? undefined : Number.POSITIVE_INFINITY)
  if (methodKind === 'unary' || methodKind === 'client_streaming') return timeout === undefined ? {} : {timeout}
  const silence = methodKind === 'server_streaming' && {messageTimeout: deadline ?? messageTimeout}
  return {timeout: Number.POSITIVE_INFINITY, ...silence}
}

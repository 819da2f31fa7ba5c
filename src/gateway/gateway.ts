import {type DescMethod, fromBinary} from '@bufbuild/protobuf'
import type {Call, Requests} from '../clients/call.ts'
import type {Runtime} from '../clients/runtime.ts'
import {type CallOptions, callOf} from '../clients/service-client.ts'
import {type PageFile, pageFileAt, pagePaths, schemaPath} from '../console/paths.ts'
import {type Backend, ConfigError, type GatewayConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {gatewayChannel} from '../core/start-channels.ts'
import {securityOf} from '../http/access.ts'
import {hasBody} from '../http/body.ts'
import {compressed} from '../http/compress.ts'
import {noMoreEvents, type Reply} from '../http/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {type MessageRouting, messageRoutingOf} from '../transcoding/conventions/routing-of-message.ts'
import type {Exchange, RequestHead} from '../transcoding/exchange.ts'
import {isForm} from '../transcoding/media.ts'
import type {Binding} from '../transcoding/rules/bindings.ts'
import {type Match, type Unrouted, unroutedFault} from '../transcoding/rules/router.ts'
import type {Transcoder} from '../transcoding/transcoder.ts'
import {answerOf} from './answers.ts'
import {learnContract} from './contract.ts'
import {exposure} from './exposure.ts'
import {toolMethods, unableMethods} from './mcp/selection.ts'
import type {McpServed} from './mcp/served.ts'
import {metadataOptions, proofHeaders} from './metadata.ts'
import {readRequests} from './read-requests.ts'
import {ReflectedSchema} from './reflected.ts'
import {RpcPaths} from './rpc/paths.ts'
import {
  documentPath,
  type Loaded,
  loadTranscoder,
  refuseUnknownBackends,
  refuseUnknownMethods,
  type Schema,
} from './schema.ts'
import type {CallsServed, Sent} from './served.ts'

/** How a gateway differs from what its runtime's configuration says. */
export interface GatewayOptions extends Partial<GatewayConfig> {
  /**
   * What is served unless GATEWAY_DESCRIPTORS names a file: a google.protobuf.FileDescriptorSet with all imports, as a
   * file's path or as its bytes, or what protobuf-es made of one.
   */
  readonly schema?: Schema
  /** Paths that never get here, because another function of the instance takes them. */
  readonly taken?: readonly string[]
  /** Where the Model Context Protocol is served, with MCP: at `/mcp` unless given. */
  readonly mcpPaths?: readonly string[]
  /** The functions at those paths: the page of CONSOLE has them too. */
  readonly functions?: ReadonlyMap<string, Handler>
}

/** What one gateway serves, and how: made once. */
interface Gateway {
  readonly runtime: Runtime
  readonly settings: GatewayConfig
  readonly transcoder: Transcoder
  /** How long a call may take, in ms, by the method's name in `accesses`. */
  readonly deadlines: ReadonlyMap<string, number>
  readonly checkOf: Loaded['checkOf']
  /** By the full name of the service. */
  readonly backends: ReadonlyMap<string, Backend>
  /** By the binding of the request. */
  readonly accesses: ReadonlyMap<Binding, {readonly name: string}>
  /** Whether methods are served by their rules. */
  readonly rest: boolean
  /** The paths of Connect and gRPC-Web; undefined where neither is served. */
  rpc?: RpcPaths
  /** The handler of the Model Context Protocol, by its paths; empty where it is not served. */
  mcp: ReadonlyMap<string, Handler>
  /** OpenAPI 3.1, from the table that requests are routed by; made when first asked for. */
  document: Promise<string> | undefined
  /** The same in OpenAPI 3.2. */
  document32: Promise<string> | undefined
  /** The functions beside it, by their paths. */
  readonly functions: Map<string, Handler>
  /** Has the schema asked for again, as something is not as it says. */
  readonly doubt?: (() => void) | undefined
  /** What the page of CONSOLE is made of; made when first asked for. */
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
      // What is here by a path of its own stays.
      for (const [path, handler] of others) if (!functions.has(path)) functions.set(path, handler)
    },
  })
}

function chooseBy(served: Gateway): (scope: Scope) => Handler {
  return (scope) => choice(served, scope)
}

/** What a gateway is made of beside its settings. */
interface Parts extends Pick<GatewayOptions, 'schema' | 'taken' | 'mcpPaths'> {
  readonly functions: Map<string, Handler>
  /** The schema of other functions, whose services variables may name; `schema` unless given. */
  readonly own?: Schema | undefined
  /** Has the schema asked for again, as something is not as it says. */
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
    accesses: new Map(transcoder.bindings.map((binding) => [binding, {name: nameOf(binding.method)}])),
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

/** Until the schema is known, and while it cannot be had, nothing is open: a path may be that of any method. */
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
  const refusing = (error: unknown): Handler => {
    const refuse = (): never => {
      throw error
    }
    return Object.assign(refuse, {errorShape})
  }
  const prepare = async (scope: Scope) => {
    try {
      return choice(await schema.get(), scope)
    } catch (error) {
      return refusing(error)
    }
  }
  const pending: Handler = Object.assign(() => noMoreEvents, {errorShape, prepare})
  return (scope) => {
    const current = schema.current
    // The page says why there is nothing to show.
    return current ? choice(current, scope) : (pageFilePart(runtime, settings, scope) ?? pending)
  }
}

/** What `scope` is for: routed here, once, so that who may call is judged by what is called. */
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

/** A WebSocket is asked for by GET alone: of the methods at its path it is for the one that takes a stream. */
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

/** Without rules no path has a method. */
const unknown: Unrouted = {status: 404, allow: []}

/** The same methods as by REST, but for those that take a stream. What carries requests out is loaded when the first one comes. */
function mcpOf(served: Gateway): Handler {
  const {runtime, settings, transcoder} = served
  const {title, version} = runtime.config.openApi
  const all = servedMethods(transcoder)
  const methods = toolMethods(all, settings.tools)
  const unable = unableMethods(all)
  if (unable.length > 0) runtime.log.info(`No tools, as they take a stream: ${unable.join(', ')}`)
  const access = {name: '/mcp', oneOf: methods.map(({method}) => nameOf(method))}
  const mcp: McpServed = {...callsOf(served), title, version, transcoder, methods, access}
  // Who may call is judged again when its body says what is called.
  const answer = async (scope: Scope) => {
    scope.span?.routed(scope.path)
    const {answerMcp} = await import('./mcp/answer.ts')
    return answerMcp(mcp, scope)
  }
  const failure = async (fault: Fault) => (await import('./mcp/failure.ts')).mcpFailure(fault)
  return Object.assign(answer, {methods: ['POST'], access, failure})
}

/** The same methods as by REST. */
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

/** As it is routed; where a form is read as a query, a POST of one as what it stands for. */
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

function nameOf({name, parent}: DescMethod): string {
  return `${parent.typeName}/${name}`
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

/** What a backend says of an etag that is not the resource's own is HTTP's 412 (AIP-154). */
function refuseCondition(error: unknown): never {
  if (!(error instanceof Fault) || (error.code !== 'ABORTED' && error.code !== 'FAILED_PRECONDITION')) throw error
  const {code, message, details, types} = error
  throw new Fault(code, message, {details: [...details], types, cause: error, http: 412})
}

function headOf({method, path, headers, rawQuery, contentType}: Scope): RequestHead {
  return {method, path, headers, query: rawQuery, contentType, hasBody: hasBody(headers)}
}

/** The description of all that is served. */
async function description(served: Gateway, scope: Scope): Promise<Reply> {
  const body = await (versionIn(scope) === '3.2' ? document32Of(served) : documentOf(served))
  return await compressed(scope, {headers: {'content-type': 'application/json'}, body})
}

/** The version of OpenAPI that is asked for: 3.1 unless one is, as generators lag. @throws {Fault} 400 */
function versionIn({query}: Scope): '3.1' | '3.2' {
  const version = query.get('version') ?? '3.1'
  if (version === '3.1' || version === '3.2') return version
  throw Fault.invalid('version', `Cannot describe it in OpenAPI "${shortened(version)}": expected 3.1 or 3.2`)
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

/** What a browser asks for to show the page. What it shows is as open as the description of the API. */
function pagePart(served: Gateway, scope: Scope): Handler | undefined {
  const {runtime, settings} = served
  if (scope.path !== schemaPath || !isForPage(settings, scope)) return pageFilePart(runtime, settings, scope)
  const {errors: errorShape} = settings
  return Object.assign(() => pageSchema(served, scope), {errorShape, access: {name: documentPath}})
}

/**
 * The files of the page are the same for everybody and say nothing of the API, and a browser sends no token with them: they
 * are open.
 */
function pageFilePart(runtime: Runtime, settings: GatewayConfig, scope: Scope): Handler | undefined {
  const file = isForPage(settings, scope) ? pageFileAt(scope.path, scope.headers.accept) : undefined
  const open = {errorShape: settings.errors, access: {isOpen: true as const}}
  return file && Object.assign(() => pageFile(file, runtime), open)
}

/** The page calls methods by their rules. */
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

/** What no rule takes: OPTIONS, 404 and 405. */
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
  // With its methods it is answered for: with 405, where it is not OPTIONS.
  const isAnswered = methodNotAllowed === '405' || method === 'OPTIONS'
  return Object.assign(refuse, {errorShape, ...(isAnswered && {methods: allow})})
}

/** The document takes GET, whatever else rules with a wildcard take at its path. */
function withDocument({method, path}: Scope, unrouted: Unrouted): Unrouted {
  if (path !== documentPath) return unrouted
  const allow = [...new Set([...unrouted.allow, 'GET', 'HEAD', 'OPTIONS'])].sort()
  return {status: method === 'OPTIONS' ? 204 : 405, allow}
}

async function describe({runtime, transcoder, settings: {errors}}: Gateway): Promise<string> {
  const {openApi} = await import('../transcoding/openapi/openapi.ts')
  return JSON.stringify(openApi({...transcoder, ...runtime.config.openApi, ...securityOf(runtime), errors}))
}

/** 100 levels of JSON are up to 300 of messages, in a google.protobuf.Struct: an echo of what is read can be answered. */
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
 * A stream lasts as long as its request. Only a server stream is not to be silent: in a chat it may be the caller's turn.
 * @param deadline how long the answer may take, in ms, as GATEWAY_RULES says: of a server stream, each message
 */
function limitsOf({methodKind}: DescMethod, {messageTimeout}: GatewayConfig, deadline?: number): CallOptions {
  const timeout = deadline ?? (methodKind === 'unary' ? undefined : Number.POSITIVE_INFINITY)
  if (methodKind === 'unary' || methodKind === 'client_streaming') return timeout === undefined ? {} : {timeout}
  const silence = methodKind === 'server_streaming' && {messageTimeout: deadline ?? messageTimeout}
  return {timeout: Number.POSITIVE_INFINITY, ...silence}
}

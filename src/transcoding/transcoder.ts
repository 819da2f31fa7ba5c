import {createRegistry, type DescMethod, type FileRegistry, type Registry} from '@bufbuild/protobuf'
import {type Dialect, ignoresUnknownFields, ownDialect} from '../core/dialect.ts'
import {Fault} from '../core/fault.ts'
import type {MessageCheck} from './checks/check.ts'
import {type Conventions, conventionsOf} from './conventions/conventions.ts'
import {type Cursors, cursorsOf, type EventIdRule} from './event-id.ts'
import {
  type Exchange,
  type ExchangeOptions,
  exchangeOf,
  type FrameExchange,
  frameExchangeOf,
  type RequestHead,
} from './exchange.ts'
import {fieldProblems} from './fields/fields.ts'
import type {MetadataOptions} from './metadata.ts'
import {RequestDecoder} from './requests.ts'
import {jsonWriting} from './responses.ts'
import {type Binding, type BindingOptions, readBindings} from './rules/bindings.ts'
import {type Match, type Router, type Unrouted, unroutedFault} from './rules/router.ts'
import type {Unserved} from './rules/selection.ts'
import {readSchema} from './schema/schema.ts'

export interface TranscoderOptions extends BindingOptions, Partial<Dialect> {
  /** The bytes of a google.protobuf.FileDescriptorSet with all imports, or a registry of protobuf-es. */
  schema: Uint8Array | FileRegistry
  /** Limit for the values of one message of a request: 20,000 unless given. */
  maxValues?: number | undefined
  /** Limit for one message of a client stream, in bytes: 1 MiB unless given. */
  maxMessageBytes?: number | undefined
  /** Gives the check for the request messages of a method: no check unless given. */
  checkOf?: ((method: DescMethod) => MessageCheck | undefined) | undefined
  /** Which request headers are forwarded to the backend. */
  metadata?: MetadataOptions | undefined
  /** The rules that make event streams resumable: none unless given. */
  eventIds?: readonly EventIdRule[] | undefined
  /** Whether a method `Create…` answers 201: false unless given. */
  created?: boolean | undefined
}

/** Converts HTTP requests to messages and back, by the google.api.http rules of one schema. */
export interface Transcoder {
  readonly registry: FileRegistry
  readonly dialect: Dialect
  readonly bindings: readonly Binding[]
  /** The rules that cannot be served, one line each, to be logged at start. */
  readonly problems: readonly string[]
  /** How event streams are resumed. */
  readonly cursors: Cursors
  /** Which of Google's conventions each binding follows. */
  readonly conventions: ReadonlyMap<Binding, Conventions>
  /** The services and methods of the schema that are not served. */
  readonly unserved: readonly Unserved[]
  /** The binding for a request. @param path raw, without the query @throws {Fault} 400 for a path that is not UTF-8 */
  route(httpMethod: string, path: string): Match<Binding> | Unrouted
  /**
   * Decides how a request is carried out, from its head alone.
   * @returns undefined for a browser that reconnects although its event stream is complete
   * @throws {Fault} 406 for Accept, 415 for Content-Type, 400 naming the header, path variable or parameter
   */
  exchange(match: Match<Binding>, head: RequestHead): Exchange | undefined
  /**
   * The binding of a client-streaming method at a path, for any HTTP method.
   * @throws {Fault} 400 for a path that is not UTF-8 or whose methods take no stream, 404 for an unknown path
   */
  routeStream(path: string): Match<Binding>
  /** How the frames of a WebSocket are read and written. @throws {Fault} 400 naming the header, path variable or parameter */
  frames(match: Match<Binding>, head: RequestHead): FrameExchange
}

/**
 * Compiles a schema into a transcoder. Expensive: make one at the start and keep it.
 * @throws {Error} for bytes that are not a complete FileDescriptorSet, and for unreadable messages unless `leaveOut`
 * @example
 * const transcoder = createTranscoder({schema: readFileSync('src/gen/descriptors.binpb')})
 * for (const problem of transcoder.problems) console.warn(problem)
 * const match = transcoder.route('GET', '/api/ping')
 * if ('binding' in match) {
 *   const exchange = transcoder.exchange(match, {headers: {}, query: 'message=hi', hasBody: false})
 *   if (exchange?.request.body === 'none') console.log(exchange.request.message())
 * }
 */
export function createTranscoder({
  schema,
  maxValues,
  maxMessageBytes,
  metadata,
  checkOf,
  eventIds = [],
  created = false,
  ...options
}: TranscoderOptions): Transcoder {
  const registry = schema instanceof Uint8Array ? readSchema(schema) : schema
  const unreadable = fieldProblems(registry)
  if (unreadable.size > 0 && !options.leaveOut) throw new Error([...unreadable.values()].flat().join('\n'))
  const types = unreadable.size > 0 ? without(registry, new Set(unreadable.keys())) : registry
  const {bindings, router, problems, unserved} = readBindings(registry, options)
  const dialect = dialectIn(options)
  const reading = {registry: types, maxValues, dialect, ignoreUnknown: ignoresUnknownFields(dialect)}
  const writing = jsonWriting(types, dialect)
  const cursors = cursorsOf(bindings, eventIds)
  const conventions = conventionsOf(bindings, {created})
  const exchanges = new Map<Binding, ExchangeOptions>()
  // Made on first use: an instance gets requests for only a few of its methods.
  const exchangeFor = (binding: Binding) => {
    let exchange = exchanges.get(binding)
    if (!exchange) {
      const decoder = new RequestDecoder(binding, {...reading, check: checkOf?.(binding.method)})
      const cursor = cursors.byMethod.get(binding.method)
      const shared = {dialect, writing, metadata, maxMessageBytes}
      exchange = {decoder, cursor, conventions: conventions.get(binding), ...shared}
      exchanges.set(binding, exchange)
    }
    return exchange
  }
  return {
    registry,
    dialect,
    bindings,
    problems,
    cursors,
    conventions,
    unserved,
    route: (httpMethod, path) => router.route(httpMethod, path),
    routeStream: (path) => streamAt(bindings, router, path),
    frames: (match, head) => frameExchangeOf(match, head, exchangeFor(match.binding)),
    exchange: (match, head) => exchangeOf(match, head, exchangeFor(match.binding)),
  }
}

function streamAt(bindings: readonly Binding[], router: Router<Binding>, path: string): Match<Binding> {
  const httpMethods = new Set(bindings.filter(takesStream).map(({httpMethod}) => httpMethod))
  let allow: readonly string[] = []
  for (const httpMethod of httpMethods) {
    const match = router.route(httpMethod, path)
    if (!('binding' in match)) allow = match.allow
    else if (takesStream(match.binding)) return match
    else allow = [httpMethod]
  }
  if (allow.length === 0) throw unroutedFault({status: 404, allow}, 'GET', path)
  throw Fault.invalid('upgrade', 'Cannot open a WebSocket here: expected the path of a method that takes a stream')
}

/** Whether the request body of `binding` is a stream of messages. */
function takesStream({method: {methodKind}, body}: Binding): boolean {
  return body !== undefined && (methodKind === 'client_streaming' || methodKind === 'bidi_streaming')
}

function dialectIn(options: Partial<Dialect>): Dialect {
  const names = Object.keys(ownDialect) as (keyof Dialect)[]
  return Object.fromEntries(names.map((name) => [name, options[name] ?? ownDialect[name]])) as unknown as Dialect
}

/** The types that a google.protobuf.Any may hold: all but `messages`. */
function without(registry: Registry, messages: ReadonlySet<unknown>): Registry {
  return createRegistry(...[...registry].filter((type) => !messages.has(type)))
}

import type {IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import type {DescMessage} from '@bufbuild/protobuf'
import type {Access} from '../auth/rules.ts'
import type {Caller} from '../core/caller.ts'
import type {Config, ErrorShape} from '../core/config.ts'
import type {Fault} from '../core/fault.ts'
import type {Life} from '../core/life.ts'
import type {Logger} from '../core/log.ts'
import type {RateLimitStore} from '../core/rate-limit.ts'
import type {Reply} from './response/reply.ts'

/** One HTTP request: its parts, and its life. */
export interface Scope extends Life {
  readonly method: string
  /**
   * The path as it stood in the request's first line, still percent-encoded but for what never needs to be (RFC 3986
   * 6.2.2.2), so that `/heal%74h` is `/health` to all that look at it; `/` at least.
   */
  readonly path: string
  /** What followed the first `?`, as it stood; empty when nothing did. */
  readonly rawQuery: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly contentType: string | undefined
  /** The subprotocols that the caller of a WebSocket offers, in its order; undefined for any other request. */
  readonly webSocket: readonly string[] | undefined
  /** The body's bytes as they arrive, to be read once. */
  readonly body: AsyncIterable<Buffer>
  /**
   * The whole body. It counts as held by the instance until hold() says otherwise.
   * @param limit in bytes, 1 MiB unless given
   * @throws {Fault} 413 beyond the limit, 429 beyond what the instance decodes at once, 415 when it is compressed:
   *   inflating is not limited by what arrives
   */
  bytes(limit?: number): Promise<Buffer>
  /** As bytes(), compressed or not. @throws {Fault} 413, 429 */
  bytesAsSent(limit?: number): Promise<Buffer>
  /**
   * Sets how many bytes of the body are held in memory: read, and not yet decoded and passed on. Zero at the end.
   * @throws {Fault} 429 when that is more than before, and more than the instance decodes at once
   */
  hold(bytes: number): void
  /** Like hold(), for a part whose rest has not arrived: if it arrives slowly, the request may be ended for others. @throws {Fault} 429 */
  holdPart(bytes: number): void
  /**
   * Keeps `bytes` of the body in place of those that are held, for as long as the instance has room for them: then `onDrop` is
   * called, and has to free them.
   */
  keep(bytes: number, onDrop: () => void): void
  /** @throws {Fault} 415 when the body is compressed: inflating is not limited by what arrives */
  refuseCompressed(): void
  /** The origins whose pages may call; `*` for all. */
  readonly corsOrigins: ReadonlySet<string>
  /** The caller that `AUTH=jwt` has verified; undefined under another AUTH, and for a request without proof to an open method. */
  readonly caller: Caller | undefined
  /**
   * Judges the caller by what its body turned out to be for, where the handler is open.
   * @throws {Fault} 401, 403
   */
  admit(access: Access): Promise<void>
  /** Whether the caller, as far as it is known, may call the method `name` (`pkg.Service/Method`). */
  may(name: string): boolean
  /** Headers of the response, also of a failure. */
  readonly responseHeaders: Record<string, string>
  /** HTTP trailers of the response to a failure. */
  failureTrailers?: Reply['trailers']
}

/** An upload as its caller sees it. */
export interface UploadForm {
  /** `pkg.Service/Method` */
  readonly method: string
  /** The message that the caller's context is. */
  readonly context: DescMessage
  /** Fields of it, by JSON names, that must not be empty: `owner.name`. */
  readonly required: readonly string[]
}

/** A function: gets a scope and returns a reply. Its caller gets exactly one response, whatever it does. */
export interface Handler {
  (scope: Scope): Promise<Reply> | Reply
  /** The shape of failures, also of those before it is called: AIP-193 (`aip`) unless given. */
  errorShape?: ErrorShape
  /** The reply for a failure, also for those before it is called; in `errorShape` unless given. */
  failure?: (fault: Fault) => Reply | Promise<Reply>
  /** The methods that it is called with, and HEAD where GET is among them: others get 405. Any, unless given. */
  methods?: readonly string[]
  /** Whether it is called with OPTIONS too, preflights included. Unless set, they are answered for it. */
  answersOptions?: boolean
  /** Its name in AUTH_PUBLIC, AUTH_ALLOW and AUTH_API_KEYS; default: none, for verified callers only. */
  access?: Access | ((scope: Scope) => Access)
  /** A router gives the handler to call in its place. */
  choose?: (scope: Scope) => Handler
  /**
   * Gives the handler to call in its place, when what that takes has come: it is asked before it is judged who may call. Never rejects,
   * but with a Fault for those who may.
   */
  prepare?: (scope: Scope) => Promise<Handler>
  /** Whether its only answer is that the path does not exist. */
  unrouted?: boolean
  /** Whether requests for a WebSocket may get one: its replies say which do. */
  webSockets?: boolean | undefined
  /** What the page of CONSOLE has to know of it to make a form for it. */
  form?: {readonly upload?: UploadForm; readonly uploadSession?: true}
  /** Paths that it has by itself: no function beside it is made for one of these. */
  paths?: readonly string[] | undefined
  /** Is told of functions that stand beside it, by their paths, for the page. */
  beside?: ((functions: ReadonlyMap<string, Handler>) => void) | undefined
  /** Whether it is called although the instance is at its limit of concurrent requests: a health check. */
  exempt?: boolean
}

/** The parts of a runtime that requests are served with. */
export interface Serving {
  readonly log: Logger
  readonly config: Pick<
    Config,
    'requestTimeout' | 'projectId' | 'serviceContext' | 'trustedHops' | 'corsOrigins' | 'limits' | 'auth' | 'rateLimit'
  >
  /** Where the requests of callers are counted, for RATE_LIMIT; in the memory of this instance unless given. */
  readonly rateLimits?: RateLimitStore | undefined
  /** Awaited before each response ends: what is to be sent of the request has to be sent while the instance has CPU. */
  readonly flush?: (() => Promise<unknown>) | undefined
}

/** A function of the functions-framework. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

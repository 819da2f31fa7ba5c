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

/** The context of one HTTP request: its parts, signal and deadline. */
export interface Scope extends Life {
  readonly method: string
  /**
   * The path from the request line, percent-encoded except for characters that never need it (RFC 3986
   * 6.2.2.2), so that `/heal%74h` is `/health` everywhere. It is never empty: at least `/`.
   */
  readonly path: string
  /** The raw query after the first `?`; empty without one. */
  readonly rawQuery: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly contentType: string | undefined
  /** The subprotocols that the caller of a WebSocket offers, in order; undefined for any other request. */
  readonly webSocket: readonly string[] | undefined
  /** The body's bytes while they arrive. They can be read once. */
  readonly body: AsyncIterable<Buffer>
  /**
   * The whole body. It counts toward the instance's limit until hold() changes that.
   * @param limit in bytes, 1 MiB unless given
   * @throws {Fault} 413 beyond the limit, 429 beyond the instance's limit for decoding, 415 if it is compressed, because
   *   decompressed data may be much longer than the received bytes
   */
  bytes(limit?: number): Promise<Buffer>
  /** As bytes(), compressed or not. @throws {Fault} 413, 429 */
  bytesAsSent(limit?: number): Promise<Buffer>
  /**
   * Sets the number of bytes of the body in memory: received, but not yet decoded and passed on. Zero at the end.
   * @throws {Fault} 429 if the number grows beyond the instance's limit for decoding
   */
  hold(bytes: number): void
  /** Like hold(), for an incomplete part. If the rest arrives slowly, the request may be aborted in favour of others. @throws {Fault} 429 */
  holdPart(bytes: number): void
  /**
   * Replaces the bytes of hold() by `bytes` that are kept for a retry until others need the room. Then `onDrop` is
   * called, which has to free them.
   */
  keep(bytes: number, onDrop: () => void): void
  /** @throws {Fault} 415 when the body is compressed: decompressed data may be much longer than the received bytes */
  refuseCompressed(): void
  /** The origins whose pages may call; `*` for all. */
  readonly corsOrigins: ReadonlySet<string>
  /** The caller that `AUTH=jwt` has verified; undefined for any other AUTH, and for a request without credentials to an open method. */
  readonly caller: Caller | undefined
  /**
   * Checks the caller's permission again once the body has named the method, for a handler that is open.
   * @throws {Fault} 401, 403
   */
  admit(access: Access): Promise<void>
  /** Whether the caller, which may be anonymous, may call the method `name` (`pkg.Service/Method`). */
  may(name: string): boolean
  /** Headers of the response, also if it is an error. */
  readonly responseHeaders: Record<string, string>
  /** HTTP trailers of an error response. */
  failureTrailers?: Reply['trailers']
}

/** Facts about an upload function for its callers. */
export interface UploadForm {
  /** `pkg.Service/Method` */
  readonly method: string
  /** The message type of the context. */
  readonly context: DescMessage
  /** Fields of the context that must not be empty, by JSON names: `owner.name`. */
  readonly required: readonly string[]
}

/** A function: gets a scope and returns a reply. Its caller always gets exactly one response. */
export interface Handler {
  (scope: Scope): Promise<Reply> | Reply
  /** The format of errors, also of those before the call: AIP-193 (`aip`) unless given. */
  errorShape?: ErrorShape
  /** Makes the reply for an error, also for those before the call. Unless given, the format is `errorShape`. */
  failure?: (fault: Fault) => Reply | Promise<Reply>
  /** The accepted HTTP methods, and HEAD if GET is one of them. Others get 405. All methods unless given. */
  methods?: readonly string[]
  /** Whether it is also called for OPTIONS, including preflights. Unless set, serve() answers these. */
  answersOptions?: boolean
  /** Its name in AUTH_PUBLIC, AUTH_ALLOW and AUTH_API_KEYS; without a name, only verified callers may call. */
  access?: Access | ((scope: Scope) => Access)
  /** For a router: returns the handler to call instead. */
  choose?: (scope: Scope) => Handler
  /**
   * Resolves with the handler to call instead, once it can be chosen. Called before access is checked, so it never rejects,
   * except with a Fault for callers that have access.
   */
  prepare?: (scope: Scope) => Promise<Handler>
  /** Whether it only answers that the path does not exist. */
  unrouted?: boolean
  /** Whether a reply may open a WebSocket. */
  webSockets?: boolean | undefined
  /** The facts that the page of CONSOLE needs for its form. */
  form?: {readonly upload?: UploadForm; readonly uploadSession?: true}
  /** Paths that it handles itself, for which no other function is made. */
  paths?: readonly string[] | undefined
  /** Receives the other functions, by path, for the page. */
  beside?: ((functions: ReadonlyMap<string, Handler>) => void) | undefined
  /** Whether it is exempt from the limit of concurrent requests, as a health check is. */
  exempt?: boolean
}

/** The parts of a runtime that serving a request needs. */
export interface Serving {
  readonly log: Logger
  readonly config: Pick<
    Config,
    'requestTimeout' | 'projectId' | 'serviceContext' | 'trustedHops' | 'corsOrigins' | 'limits' | 'auth' | 'rateLimit'
  >
  /** Counts the requests of callers for RATE_LIMIT; in the memory of this instance unless given. */
  readonly rateLimits?: RateLimitStore | undefined
  /** Sends the request's telemetry. Awaited before each response ends, while the instance still has CPU. */
  readonly flush?: (() => Promise<unknown>) | undefined
}

/** A function of the functions-framework. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

import {isIP} from 'node:net'
import type {Dialect} from './dialect.ts'
import {withPreset} from './presets.ts'
import type {RateLimit} from './rate-limit.ts'
import {
  type AllowRule,
  assignment,
  backendUrl,
  ConfigError,
  type ContextField,
  type Env,
  type EventIdConfig,
  type IssuerConfig,
  isLoopback,
  type LogLevel,
  type Protocol,
  read,
  readAll,
  refuseUnknown,
  type SecurityScheme,
  type ToolRule,
  type Validation,
  type WebhookConfig,
  wrong,
} from './settings.ts'

export {
  type AllowRule,
  ConfigError,
  type EventIdConfig,
  type IssuerConfig,
  type LogLevel,
  type Protocol,
  type SecurityScheme,
  type Validation,
  type WebhookConfig,
}

/** A gRPC service that functions call. */
export interface Backend {
  /** As configured, without a trailing slash: for logs and messages. */
  readonly url: string
  /** `host:port`, for the channel. */
  readonly address: string
  /** The URL's host: the authority of every call. */
  readonly host: string
  readonly tls: boolean
  /** The audience of the ID token that each call carries; undefined where no token is sent. */
  readonly audience: string | undefined
  /**
   * The header that carries the token. If the caller's own `authorization` is forwarded, our token is in `x-serverless-authorization`,
   * which Cloud Run checks and does not forward. So a caller without a token is not taken for us.
   */
  readonly tokenHeader: 'authorization' | 'x-serverless-authorization'
}

/** The whole configuration, checked. */
export interface Config {
  /**
   * The backend of the service `name`: `ping.PingService` is BACKEND_URL_PING_SERVICE, or else BACKEND_URL.
   * @throws {ConfigError} when neither is set
   */
  backendOf(name: string): Backend
  /** Every configured backend, once for each URL. */
  readonly backends: readonly Backend[]
  /** The services with a URL of their own, each by its name in upper snake case. */
  readonly ownBackends: readonly string[]
  /** How long a call waits for a connection to its backend, in ms. */
  readonly connectTimeout: number
  /** The buckets that upload may read from: `bucket`, or `bucket/prefix` for objects whose names begin with the prefix. */
  readonly uploadBuckets: ReadonlySet<string>
  /** Where callers may create objects by resumable uploads; undefined if they may not. */
  readonly uploadSessions: {readonly bucket: string; readonly folder: string} | undefined
  /** The claim of the verified caller that names the creator of an upload; undefined if the request names the creator. */
  readonly uploadCreator: string | undefined
  /** How to make the context of an upload from the event of a finalized object. */
  readonly uploadContext: readonly ContextField[] | undefined
  /** The platform's timeout for a request, in ms. */
  readonly requestTimeout: number
  /** Idle timeout of a Storage read, after which it is cancelled and resumed, in ms. */
  readonly storageStall: number
  /** The base URL of the JSON API of a Storage server other than Google's. It gets no token. */
  readonly storageEmulator: string | undefined
  /** The host of the metadata server, if our credentials come from it; undefined if google-auth-library finds the credentials. */
  readonly metadataHost: string | undefined
  readonly projectId: string | undefined
  /** What Error Reporting groups failures by; undefined: off Cloud Run. */
  readonly serviceContext: {readonly service: string; readonly version: string | undefined} | undefined
  readonly logLevel: LogLevel
  /** How many entries of X-Forwarded-For, from the right, belong to proxies in front of the platform's own. */
  readonly trustedHops: number
  /** Whether log lines are for people rather than for Cloud Logging. */
  readonly logPretty: boolean
  readonly gateway: GatewayConfig
  /** Limits of what the instance accepts at once. */
  readonly limits: Limits
  readonly openApi: OpenApiConfig
  readonly auth: AuthConfig
  /** Limit for the requests of one caller; undefined for none. */
  readonly rateLimit: RateLimit | undefined
  /** The origins whose pages may call: `*` for all, none unless set. */
  readonly corsOrigins: ReadonlySet<string>
  /** The name of the deployed function. */
  readonly target: string
}

/** Who may call, and how callers are verified. */
export interface AuthConfig {
  /** `iam`: the platform has checked the caller. `jwt`: each request has credentials, which are checked here. `none`: anybody may call. */
  readonly mode: 'iam' | 'jwt' | 'none'
  readonly issuers: readonly IssuerConfig[]
  /** Whether AUTH was set. It must be on Cloud Run. */
  readonly isDecided: boolean
  /** What may be called without credentials: `pkg.Service/Method`, `pkg.Service`, or a path. */
  readonly open: readonly string[]
  /** Whether methods that their proto opens may be called without credentials. */
  readonly opensByContract: boolean
  readonly allow: readonly AllowRule[]
  /** Path of the file of API keys. */
  readonly apiKeys: string | undefined
  readonly webhooks: readonly WebhookConfig[]
  /** Limit for a signed body, in bytes. */
  readonly maxSignedBytes: number
  /** The URL of the API, if OPENAPI_SERVERS gives it, without a trailing slash. */
  readonly resource: string | undefined
}

/** Limits of what an instance accepts at once. Requests beyond them get 429. */
export interface Limits {
  /** Number of requests in progress. */
  readonly concurrentRequests: number
  /** Bytes of request bodies that are being received and decoded, of all requests together. */
  readonly decodingBytes: number
}

/** The parts of /openapi.json that do not come from the schema. */
export interface OpenApiConfig {
  readonly title: string
  readonly version: string
  readonly servers: readonly string[]
  /** The security schemes, any of which is enough. Undefined leaves them out of the document; an empty list says that none is needed. */
  readonly security: readonly SecurityScheme[] | undefined
}

/** The JSON format of an error: `{"error": {…}}` (AIP-193), or a google.rpc.Status. */
export type ErrorShape = 'aip' | 'status'

/** What the gateway serves, and how. */
export interface GatewayConfig extends Dialect {
  /** Path of a file with a FileDescriptorSet; undefined for the one built from proto/. */
  readonly descriptors: string | undefined
  /** The source of the schema: descriptors, or the backends' server reflection. */
  readonly schemaSource: 'descriptors' | 'reflection'
  /** How long a schema from server reflection is cached, in ms. */
  readonly schemaMaxAge: number
  /** Path of a file with a google.api.Service in YAML or JSON, whose rules replace those of the protos. */
  readonly rules: string | undefined
  /** Full names of the services to serve; undefined for all. */
  readonly services: readonly string[] | undefined
  /** Whether a method without a rule is served at `POST /<package.Service>/<Method>`; undefined: only if `services` names its service. */
  readonly defaultBindings: boolean | undefined
  /** For a rule that cannot be served: fail at start, or leave it out and log a warning. */
  readonly unservable: 'stop' | 'warn'
  /** The proto options by which requests are validated. */
  readonly validate: readonly Validation[]
  /** The protocols in which methods are served. */
  readonly protocols: readonly Protocol[]
  /** Limit for a buffered body and for one message of a client stream, in bytes. */
  readonly maxBodyBytes: number
  /** Limit for the values of one request message. */
  readonly maxBodyValues: number
  /** Whether a missing update mask of a PATCH is filled in. */
  readonly updateMask: 'fill' | 'off'
  /** The format of errors: AIP-193, or google.rpc.Status. */
  readonly errors: ErrorShape
  /** Whether the caller's own `authorization` is forwarded to the backend. Our ID token is then in another header. */
  readonly authorization: boolean
  /** The metadata keys that callers may set; undefined for all but the reserved ones. */
  readonly metadata: readonly string[] | undefined
  /** Timeout for each message of a server stream, in ms; undefined for no limit but the request's own timeout. */
  readonly messageTimeout: number | undefined
  /** Whether methods are served as tools of the Model Context Protocol. */
  readonly mcp: boolean
  /** The methods that are tools, and their names. Empty for all methods. */
  readonly tools: readonly ToolRule[]
  /** Whether client-streaming methods can be called over a WebSocket. */
  readonly webSocket: boolean
  /** Whether methods `Create…` answer 201 with a Location. */
  readonly created: boolean
  /** The rules that make event streams resumable. */
  readonly eventIds: readonly EventIdConfig[]
  /** Interval of keep-alive comments on an idle event stream, in ms. */
  readonly eventStreamPing: number
  /** Whether `/` serves a page to browsers that shows and calls the methods. */
  readonly console: boolean
}

/**
 * Reads and checks the whole configuration, through the table in settings.ts.
 * @param given the environment, or any other record of the same variables
 * @param argv the command line, where `--target` has priority over FUNCTION_TARGET
 * @throws {ConfigError} naming the variable, its value and what was expected
 * @example
 * const config = readConfig({BACKEND_URL: 'https://books-abc.a.run.app', LOG_LEVEL: 'debug'})
 */
export function readConfig(given: Env, argv: readonly string[] = []): Config {
  refuseUnknown(given)
  const env = withPreset(given)
  // The framework reads PORT itself. It would take other text for the name of a Unix socket.
  read(env, 'PORT')
  const onCloudRun = read(env, 'K_SERVICE') !== undefined
  const backends = readBackends(env)
  return Object.freeze({
    backendOf: (name) => {
      const service = upperSnake(name)
      const backend = backends.get(service) ?? backends.get('')
      if (backend) return backend
      throw new ConfigError(
        `BACKEND_URL_${service} and BACKEND_URL are not set: expected the URL of ${name}, ${backendUrl.expected}`,
      )
    },
    backends: [...new Map([...backends.values()].map((backend) => [backend.url, backend])).values()],
    ownBackends: [...backends.keys()].filter((service) => service !== ''),
    connectTimeout: read(env, 'BACKEND_CONNECT_TIMEOUT_SECONDS'),
    uploadBuckets: new Set(read(env, 'UPLOAD_BUCKETS')),
    uploadSessions: read(env, 'UPLOAD_SESSIONS'),
    uploadCreator: read(env, 'UPLOAD_CREATOR'),
    uploadContext: read(env, 'UPLOAD_CONTEXT'),
    requestTimeout: read(env, 'CLOUD_RUN_TIMEOUT_SECONDS'),
    storageStall: read(env, 'STORAGE_STALL_SECONDS'),
    storageEmulator: read(env, 'STORAGE_EMULATOR_HOST'),
    metadataHost: metadataHost(env, onCloudRun),
    projectId: read(env, 'GOOGLE_CLOUD_PROJECT'),
    serviceContext: onCloudRun ? {service: read(env, 'K_SERVICE')!, version: read(env, 'K_REVISION')} : undefined,
    logLevel: read(env, 'LOG_LEVEL'),
    trustedHops: read(env, 'TRUSTED_HOPS'),
    logPretty: !onCloudRun && process.stdout.isTTY === true,
    gateway: {
      descriptors: read(env, 'GATEWAY_DESCRIPTORS'),
      schemaSource: read(env, 'GATEWAY_SCHEMA'),
      schemaMaxAge: read(env, 'GATEWAY_SCHEMA_MAX_AGE_SECONDS'),
      rules: read(env, 'GATEWAY_RULES'),
      services: read(env, 'GATEWAY_SERVICES'),
      defaultBindings: read(env, 'GATEWAY_DEFAULT_BINDINGS'),
      unservable: read(env, 'GATEWAY_UNSERVABLE'),
      validate: read(env, 'GATEWAY_VALIDATE') ?? [],
      protocols: read(env, 'GATEWAY_PROTOCOLS'),
      ignoreUnknown: read(env, 'GATEWAY_IGNORE_UNKNOWN'),
      boundParameters: read(env, 'GATEWAY_BOUND_PARAMETERS'),
      booleans: read(env, 'GATEWAY_BOOLEANS'),
      mapParameters: read(env, 'GATEWAY_MAP_PARAMETERS'),
      forms: read(env, 'GATEWAY_FORMS'),
      contentTypes: read(env, 'GATEWAY_CONTENT_TYPES'),
      unexpectedBody: read(env, 'GATEWAY_UNEXPECTED_BODY'),
      invalidMetadata: read(env, 'GATEWAY_INVALID_METADATA'),
      pathDecoding: read(env, 'GATEWAY_PATH_DECODING'),
      zeroValues: read(env, 'GATEWAY_ZERO_VALUES'),
      fieldNames: read(env, 'GATEWAY_FIELD_NAMES'),
      enums: read(env, 'GATEWAY_ENUMS'),
      streams: read(env, 'GATEWAY_STREAMS'),
      streamResults: read(env, 'GATEWAY_STREAM_RESULTS'),
      trailers: read(env, 'GATEWAY_TRAILERS'),
      methodNotAllowed: read(env, 'GATEWAY_METHOD_NOT_ALLOWED'),
      maxBodyBytes: read(env, 'GATEWAY_MAX_BODY_BYTES'),
      maxBodyValues: read(env, 'GATEWAY_MAX_BODY_VALUES'),
      updateMask: read(env, 'GATEWAY_UPDATE_MASK'),
      errors: read(env, 'GATEWAY_ERRORS'),
      authorization: read(env, 'GATEWAY_FORWARD_AUTHORIZATION'),
      metadata: read(env, 'GATEWAY_METADATA'),
      messageTimeout: read(env, 'GATEWAY_MESSAGE_TIMEOUT_SECONDS'),
      mcp: read(env, 'MCP'),
      tools: read(env, 'MCP_TOOLS') ?? [],
      webSocket: read(env, 'GATEWAY_WEBSOCKET'),
      created: read(env, 'GATEWAY_CREATED'),
      eventIds: read(env, 'GATEWAY_EVENT_ID') ?? [],
      eventStreamPing: read(env, 'EVENT_STREAM_PING_SECONDS'),
      console: read(env, 'CONSOLE'),
    },
    limits: {
      concurrentRequests: read(env, 'MAX_CONCURRENT_REQUESTS'),
      decodingBytes: decodingBytes(env),
    },
    openApi: {
      title: read(env, 'OPENAPI_TITLE'),
      version: read(env, 'OPENAPI_VERSION'),
      servers: read(env, 'OPENAPI_SERVERS'),
      security: read(env, 'OPENAPI_SECURITY'),
    },
    auth: authIn(env, onCloudRun),
    rateLimit: read(env, 'RATE_LIMIT'),
    corsOrigins: new Set(read(env, 'CORS_ORIGINS')),
    target: targetOf(env, argv),
  } satisfies Config)
}

/** Reads AUTH_*. @throws {ConfigError} also on Cloud Run without AUTH: access without credentials must be a decision */
function authIn(env: Env, onCloudRun: boolean): AuthConfig {
  const mode = read(env, 'AUTH')
  if (mode === undefined && onCloudRun) {
    throw new ConfigError(
      'AUTH is not set: expected "iam" (only callers that Cloud Run\'s IAM lets in), "jwt" (callers with a token of AUTH_ISSUERS or a key of AUTH_API_KEYS) or "none" (anybody)',
    )
  }
  const open = read(env, 'AUTH_PUBLIC')
  const settings = {
    issuers: read(env, 'AUTH_ISSUERS') ?? [],
    open: open ?? [],
    opensByContract: open?.length !== 0,
    allow: read(env, 'AUTH_ALLOW') ?? [],
    apiKeys: read(env, 'AUTH_API_KEYS'),
    webhooks: read(env, 'AUTH_WEBHOOK') ?? [],
    maxSignedBytes: read(env, 'GATEWAY_MAX_BODY_BYTES'),
    resource: read(env, 'OPENAPI_SERVERS').find((url) => /^https?:/i.test(url)),
  }
  for (const name of [
    'AUTH_ISSUERS',
    'AUTH_PUBLIC',
    'AUTH_ALLOW',
    'AUTH_API_KEYS',
    'AUTH_WEBHOOK',
    'UPLOAD_CREATOR',
  ] as const) {
    if (env[name] && mode !== 'jwt') throw wrong(name, env[name], 'AUTH="jwt" beside it: nothing else checks who calls')
  }
  const {issuers, apiKeys, webhooks} = settings
  const targets = webhooks.map(({target}) => target)
  if (new Set(targets).size < targets.length) throw wrong('AUTH_WEBHOOK', env.AUTH_WEBHOOK, 'one row for each target')
  if (mode === 'jwt' && issuers.length === 0 && apiKeys === undefined && webhooks.length === 0)
    throw wrong('AUTH', mode, 'AUTH_ISSUERS, AUTH_API_KEYS or AUTH_WEBHOOK beside it')
  for (const {issuer, jwks} of settings.issuers) {
    if (onCloudRun && [issuer, jwks].some((url) => url?.startsWith('http:')))
      throw wrong('AUTH_ISSUERS', env.AUTH_ISSUERS, 'URLs with https on Cloud Run')
  }
  return {mode: mode ?? 'none', isDecided: mode !== undefined, ...settings}
}

/** Never less than the limit for one body, so that each allowed body can be decoded when nothing else is. */
function decodingBytes(env: Env): number {
  const least = read(env, 'GATEWAY_MAX_BODY_BYTES')
  const given = read(env, 'GATEWAY_MAX_DECODING_BYTES')
  if (given === undefined) return Math.max(8 * 1024 * 1024, least)
  if (given >= least) return given
  const limit = assignment('GATEWAY_MAX_BODY_BYTES', String(least))
  throw wrong('GATEWAY_MAX_DECODING_BYTES', env.GATEWAY_MAX_DECODING_BYTES, `at least ${limit}`)
}

/** The target, found as the framework does: its command line has priority. */
function targetOf(env: Env, argv: readonly string[]): string {
  const flag = argv.find((argument) => argument.startsWith('--target='))
  return flag?.slice('--target='.length) || read(env, 'FUNCTION_TARGET')
}

/** The backends by service in upper snake case. That of BACKEND_URL has the empty name. */
function readBackends(env: Env): Map<string, Backend> {
  const urls = readAll(env, 'BACKEND_URL_<SERVICE>')
  const audiences = readAll(env, 'BACKEND_AUDIENCE_<SERVICE>')
  const url = read(env, 'BACKEND_URL')
  const audience = read(env, 'BACKEND_AUDIENCE')
  const all = new Map(url ? [['', url], ...urls] : urls)
  for (const [service, given] of audience ? [['', audience] as const, ...audiences] : audiences) {
    if (all.has(service)) continue
    const name = variable('BACKEND_URL', service)
    throw wrong(variable('BACKEND_AUDIENCE', service), given, `${name} beside it, the URL that it is the audience of`)
  }
  const audienceOf = (service: string) => (service ? audiences.get(service) : audience)
  return new Map([...all].map(([service, url]) => [service, toBackend(env, service, url, audienceOf(service))]))
}

function variable(start: string, service: string): string {
  return service ? `${start}_${service}` : start
}

/**
 * An audience belongs to one URL: tokens for BACKEND_AUDIENCE are not sent to a service with its own URL, because the receiver of a
 * token can use it at every service that accepts its audience.
 */
function toBackend(env: Env, service: string, url: URL, given: string | undefined): Backend {
  const tls = url.protocol === 'https:'
  const name = variable('BACKEND_URL', service)
  if (tls && isIP(url.hostname.replace(/^\[|\]$/g, ''))) {
    // For an IP address, grpc-js checks the certificate against the name "localhost".
    throw wrong(name, env[name], 'a host name after "https://", not an address')
  }
  const audience = given === 'none' ? undefined : (given ?? (tls ? `https://${url.hostname}` : undefined))
  if (audience && !tls && !isLoopback(url.hostname)) {
    throw wrong(
      variable('BACKEND_AUDIENCE', service),
      audience,
      `"none", or https in ${assignment(name, env[name])}: an ID token never travels in the clear`,
    )
  }
  const host = url.hostname
  return Object.freeze({
    url: url.origin,
    address: `${host}:${url.port || (tls ? 443 : 80)}`,
    host: url.host,
    tls,
    audience,
    tokenHeader: read(env, 'GATEWAY_FORWARD_AUTHORIZATION') ? 'x-serverless-authorization' : 'authorization',
  })
}

/** The metadata server to ask directly, on Cloud Run or if a variable names it. So google-auth-library need not probe for it. */
function metadataHost(env: Env, onCloudRun: boolean): string | undefined {
  if (read(env, 'GOOGLE_APPLICATION_CREDENTIALS')) return undefined
  const named = read(env, 'GCE_METADATA_IP') ?? read(env, 'GCE_METADATA_HOST')
  return named ?? (onCloudRun ? 'metadata.google.internal' : undefined)
}

/** `ping.PingService` as PING_SERVICE: the name without its package, in upper snake case. */
export function upperSnake(service: string): string {
  const name = service.slice(service.lastIndexOf('.') + 1)
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toUpperCase()
}

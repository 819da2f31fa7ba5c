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
  /** As configured, without a trailing slash: what logs and messages say. */
  readonly url: string
  /** `host:port`, as a channel wants it. */
  readonly address: string
  /** The URL's host: the authority of every call. */
  readonly host: string
  readonly tls: boolean
  /** The audience of the ID token that each call carries; undefined: none is sent. */
  readonly audience: string | undefined
  /**
   * The header that carries it. Where callers' own `authorization` goes to the backend, ours never has its place, so that
   * a caller who sends none is not taken for us: Cloud Run takes ours from a header that it does not hand on.
   */
  readonly tokenHeader: 'authorization' | 'x-serverless-authorization'
}

/** All that the environment says, checked. */
export interface Config {
  /**
   * The backend of the service `name`: `ping.PingService` is BACKEND_URL_PING_SERVICE, or else BACKEND_URL.
   * @throws {ConfigError} when neither is set
   */
  backendOf(name: string): Backend
  /** Every backend that is configured, once each, by its URL. */
  readonly backends: readonly Backend[]
  /** The services with a URL of their own, each by its name in upper snake case. */
  readonly ownBackends: readonly string[]
  /** How long a call waits for a connection to its backend, in ms. */
  readonly connectTimeout: number
  /** The buckets that upload may read from, each as a whole or with what its objects begin with: `bucket/prefix`. */
  readonly uploadBuckets: ReadonlySet<string>
  /** Where callers may put new objects; undefined: nowhere. */
  readonly uploadSessions: {readonly bucket: string; readonly folder: string} | undefined
  /** The claim of the verified caller that is the creator of an upload; undefined: the request says who is. */
  readonly uploadCreator: string | undefined
  /** What the context of an upload is made of when Storage has finalized an object. */
  readonly uploadContext: readonly ContextField[] | undefined
  /** How long the platform gives a request, in ms. */
  readonly requestTimeout: number
  /** How long a read of Storage may stand still before it is broken off and resumed, in ms. */
  readonly storageStall: number
  /** The base URL of the JSON API of a Storage server other than Google's, which gets no token. */
  readonly storageEmulator: string | undefined
  /** Where the metadata server is, when it is the source of our credentials; undefined: as google-auth-library finds them. */
  readonly metadataHost: string | undefined
  readonly projectId: string | undefined
  /** What Error Reporting groups failures by; undefined: off Cloud Run. */
  readonly serviceContext: {readonly service: string; readonly version: string | undefined} | undefined
  readonly logLevel: LogLevel
  /** How many entries of X-Forwarded-For, from the right, are those of proxies in front of the platform's own. */
  readonly trustedHops: number
  /** Lines for a person rather than for Cloud Logging. */
  readonly logPretty: boolean
  readonly gateway: GatewayConfig
  /** What the instance takes at once. */
  readonly limits: Limits
  readonly openApi: OpenApiConfig
  readonly auth: AuthConfig
  /** How much one caller may send; undefined: as much as it likes. */
  readonly rateLimit: RateLimit | undefined
  /** The origins whose pages may call; `*` for all; none unless set. */
  readonly corsOrigins: ReadonlySet<string>
  /** The function that is deployed here. */
  readonly target: string
}

/** Who may call, and how that is proved. */
export interface AuthConfig {
  /** `iam`: the platform has checked it; `jwt`: each request proves it; `none`: anybody may. */
  readonly mode: 'iam' | 'jwt' | 'none'
  readonly issuers: readonly IssuerConfig[]
  /** Whether somebody has decided on the mode: where nobody has, this is no Cloud Run. */
  readonly isDecided: boolean
  /** What needs no proof: `pkg.Service/Method`, `pkg.Service`, or a path. */
  readonly open: readonly string[]
  /** Whether methods need no proof whose proto says so. */
  readonly opensByContract: boolean
  readonly allow: readonly AllowRule[]
  /** The file of API keys. */
  readonly apiKeys: string | undefined
  readonly webhooks: readonly WebhookConfig[]
  /** Limit for a body whose signature is checked, in bytes. */
  readonly maxSignedBytes: number
  /** The URL of the API, where OPENAPI_SERVERS gives it; without a slash at its end. */
  readonly resource: string | undefined
}

/** How much an instance takes at once: what is beyond is refused with 429. */
export interface Limits {
  /** Requests that are being answered. */
  readonly concurrentRequests: number
  /** Bytes of request bodies that are being received and decoded. */
  readonly decodingBytes: number
}

/** What /openapi.json says that no schema does. */
export interface OpenApiConfig {
  readonly title: string
  readonly version: string
  readonly servers: readonly string[]
  /** Any one of them is enough; undefined: nothing is said, none at all: a caller need not prove anything. */
  readonly security: readonly SecurityScheme[] | undefined
}

/** The JSON of a failure: AIP-193's `{"error": {…}}`, or a google.rpc.Status. */
export type ErrorShape = 'aip' | 'status'

/** What the gateway serves, and how. */
export interface GatewayConfig extends Dialect {
  /** A file with a FileDescriptorSet; undefined: the one that is built from proto/. */
  readonly descriptors: string | undefined
  /** Where the schema comes from: descriptors, or the backends' server reflection. */
  readonly schemaSource: 'descriptors' | 'reflection'
  /** How long a schema of server reflection is used without asking again, in ms. */
  readonly schemaMaxAge: number
  /** A file with a google.api.Service in YAML or JSON, whose rules go before those of the protos. */
  readonly rules: string | undefined
  /** Full names of services; undefined: all of them. */
  readonly services: readonly string[] | undefined
  /** Whether a method without a rule is served at `POST /<package.Service>/<Method>`; undefined: if `services` names it. */
  readonly defaultBindings: boolean | undefined
  /** Whether a rule that cannot be served stops the start, or is left out with a line in the log. */
  readonly unservable: 'stop' | 'warn'
  /** The options of the protos by which requests are checked. */
  readonly validate: readonly Validation[]
  /** The protocols that methods are served by. */
  readonly protocols: readonly Protocol[]
  /** The most bytes of a body that is read whole, and of one message of a client stream. */
  readonly maxBodyBytes: number
  /** The most values of one message of a request. */
  readonly maxBodyValues: number
  /** Whether a PATCH gets the update mask that its caller does not give. */
  readonly updateMask: 'fill' | 'off'
  /** The shape of failures: AIP-193's, or google.rpc.Status. */
  readonly errors: ErrorShape
  /** Whether the caller's own `authorization` goes to the backend; our ID token then goes beside it. */
  readonly authorization: boolean
  /** The metadata keys that callers may set; undefined: all but those that none may set. */
  readonly metadata: readonly string[] | undefined
  /** How long a server stream may take for each message, in ms; undefined: as long as the request. */
  readonly messageTimeout: number | undefined
  /** Whether methods are served as tools of the Model Context Protocol. */
  readonly mcp: boolean
  /** Which methods are tools, and their names; empty: all. */
  readonly tools: readonly ToolRule[]
  /** Whether methods that take a stream can be called over a WebSocket. */
  readonly webSocket: boolean
  /** Whether what a method `Create…` has made is answered with 201. */
  readonly created: boolean
  /** What makes event streams resumable. */
  readonly eventIds: readonly EventIdConfig[]
  /** How long an event stream is silent before a comment is sent, in ms. */
  readonly eventStreamPing: number
  /** Whether a browser gets a page at `/` that calls the methods. */
  readonly console: boolean
}

/**
 * Reads and checks the whole configuration, through the table in settings.ts.
 * @param env the environment, or any other record of the same variables
 * @param argv the command line: the framework's `--target` wins over FUNCTION_TARGET
 * @throws {ConfigError} naming the variable, its value and what was expected
 * @example
 * const config = readConfig({BACKEND_URL: 'https://books-abc.a.run.app', LOG_LEVEL: 'debug'})
 */
export function readConfig(given: Env, argv: readonly string[] = []): Config {
  refuseUnknown(given)
  const env = withPreset(given)
  // The framework reads it, and would listen on a file of that name.
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

/** A door is open by decision only: @throws {ConfigError} for an instance on Cloud Run that says nothing of it */
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

/** A body that is within its own limit can be decoded, if nothing else is. */
function decodingBytes(env: Env): number {
  const least = read(env, 'GATEWAY_MAX_BODY_BYTES')
  const given = read(env, 'GATEWAY_MAX_DECODING_BYTES')
  if (given === undefined) return Math.max(8 * 1024 * 1024, least)
  if (given >= least) return given
  const limit = assignment('GATEWAY_MAX_BODY_BYTES', String(least))
  throw wrong('GATEWAY_MAX_DECODING_BYTES', env.GATEWAY_MAX_DECODING_BYTES, `at least ${limit}`)
}

/** As the framework finds it: its command line wins. */
function targetOf(env: Env, argv: readonly string[]): string {
  const flag = argv.find((argument) => argument.startsWith('--target='))
  return flag?.slice('--target='.length) || read(env, 'FUNCTION_TARGET')
}

/** By service in upper snake case; BACKEND_URL's has the empty name. */
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
 * An audience belongs to the URL beside it: BACKEND_AUDIENCE is not sent to a service with a URL of its own, because
 * whoever receives a token can use it wherever its audience is accepted.
 */
function toBackend(env: Env, service: string, url: URL, given: string | undefined): Backend {
  const tls = url.protocol === 'https:'
  const name = variable('BACKEND_URL', service)
  if (tls && isIP(url.hostname.replace(/^\[|\]$/g, ''))) {
    // grpc-js checks the certificate of an address against the name "localhost".
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

/** On Cloud Run, and wherever it is named, the metadata server is asked directly: nothing has to be found out first. */
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

import {isIP} from 'node:net'

/** A variable that is set to what we cannot use: stops the start, with one line for the person who set it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
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
  /** The buckets that upload may read from. */
  readonly uploadBuckets: ReadonlySet<string>
  /** How long the platform gives a request, in ms. */
  readonly requestTimeout: number
  /** How long a read of Storage may stand still before it is broken off and resumed, in ms. */
  readonly storageStall: number
  /** Where the metadata server is, when it is the source of our credentials; undefined: as google-auth-library finds them. */
  readonly metadataHost: string | undefined
  readonly projectId: string | undefined
  readonly logLevel: LogLevel
  /** Lines for a person rather than for Cloud Logging. */
  readonly logPretty: boolean
  readonly gateway: GatewayConfig
  /** The origins whose pages may call; `*` for all; none unless set. */
  readonly corsOrigins: ReadonlySet<string>
  /** The function that is deployed here. */
  readonly target: string
}

/** What the gateway serves, and how. */
export interface GatewayConfig {
  /** A file with a FileDescriptorSet; undefined: the one that is built from proto/. */
  readonly descriptors: string | undefined
  /** Full names of services; undefined: all of them. */
  readonly services: readonly string[] | undefined
  /** Whether a method without a rule is served at `POST /<package.Service>/<Method>`. */
  readonly defaultBindings: boolean
  /** Whether unknown JSON fields and query parameters are dropped rather than refused. */
  readonly ignoreUnknown: boolean
  /** The shape of failures: AIP-193's, or google.rpc.Status. */
  readonly errors: 'aip' | 'status'
  /** Whether the caller's own `authorization` goes to the backend; our ID token then goes beside it. */
  readonly authorization: boolean
  /** How long an event stream is silent before a comment is sent, in ms. */
  readonly eventStreamPing: number
}

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

type Env = Readonly<Record<string, string | undefined>>

/**
 * Reads and checks the whole configuration.
 * @throws {ConfigError} naming the variable, its value and what was wanted
 */
export function readConfig(env: Env): Config {
  const onCloudRun = env.K_SERVICE !== undefined
  // The framework reads it, and would listen on a file of that name.
  setting(
    env,
    'PORT',
    'a port, from 0 to 65535',
    (text) => (/^\d{1,5}$/.test(text) && Number(text) < 65536) || undefined,
  )
  const backends = readBackends(env)
  return Object.freeze({
    backendOf: (name) => {
      const variable = `BACKEND_URL_${upperSnake(name)}`
      const backend = backends.get(variable) ?? backends.get('BACKEND_URL')
      if (backend) return backend
      throw new ConfigError(`${variable} and BACKEND_URL are not set: wanted the URL of ${name}, ${urlWanted}`)
    },
    backends: [...new Map([...backends.values()].map((backend) => [backend.url, backend])).values()],
    uploadBuckets: new Set(list(env.UPLOAD_BUCKETS)),
    requestTimeout: 1000 * seconds(env, 'CLOUD_RUN_TIMEOUT_SECONDS', {least: 2, most: 3600, otherwise: 300}),
    storageStall: 1000 * seconds(env, 'STORAGE_STALL_SECONDS', {least: 0.001, most: 3600, otherwise: 10}),
    metadataHost: metadataHost(env, onCloudRun),
    projectId: env.GOOGLE_CLOUD_PROJECT || undefined,
    logLevel:
      setting(env, 'LOG_LEVEL', `one of ${logLevels.join(', ')}`, (text) =>
        logLevels.find((level) => level === text),
      ) ?? 'info',
    logPretty: !onCloudRun && process.stdout.isTTY === true,
    gateway: readGateway(env),
    corsOrigins: new Set(list(env.CORS_ORIGINS)),
    target: targetOf(env),
  } satisfies Config)
}

const urlWanted = '"https://" (or "http://" for plaintext) and a host, such as "https://ping-xyz.a.run.app"'

function readGateway(env: Env): GatewayConfig {
  const services = list(env.GATEWAY_SERVICES)
  return {
    descriptors: env.GATEWAY_DESCRIPTORS || undefined,
    services: services.length > 0 ? services : undefined,
    defaultBindings: flag(env, 'GATEWAY_DEFAULT_BINDINGS', true),
    ignoreUnknown: flag(env, 'GATEWAY_IGNORE_UNKNOWN', false),
    errors: setting(env, 'GATEWAY_ERRORS', '"aip" or "status"', (text) => errorShapes.find((s) => s === text)) ?? 'aip',
    authorization: flag(env, 'GATEWAY_FORWARD_AUTHORIZATION', false),
    eventStreamPing: 1000 * seconds(env, 'EVENT_STREAM_PING_SECONDS', {least: 0.001, most: 3600, otherwise: 15}),
  }
}

const errorShapes = ['aip', 'status'] as const

function flag(env: Env, name: string, otherwise: boolean): boolean {
  const value = setting(env, name, '"true" or "false"', (text) =>
    text === 'true' || text === 'false' ? text : undefined,
  )
  return value === undefined ? otherwise : value === 'true'
}

/** As the framework finds it: its command line wins. */
function targetOf(env: Env): string {
  const flag = process.argv.find((argument) => argument.startsWith('--target='))
  return flag?.slice('--target='.length) || env.FUNCTION_TARGET || 'app'
}

/** One entry a variable: BACKEND_URL and each BACKEND_URL_<SERVICE>. */
function readBackends(env: Env): Map<string, Backend> {
  const backends = new Map<string, Backend>()
  for (const variable of Object.keys(env)) {
    if (!/^BACKEND_URL(_[A-Z0-9_]+)?$/.test(variable)) continue
    const url = setting(env, variable, urlWanted, parseUrl)
    if (url) backends.set(variable, toBackend(env, variable, url))
  }
  for (const variable of Object.keys(env)) {
    if (!/^BACKEND_AUDIENCE(_[A-Z0-9_]+)?$/.test(variable) || !env[variable]) continue
    const owner = variable.replace('AUDIENCE', 'URL')
    if (!backends.has(owner)) {
      throw new ConfigError(
        `${as(variable, env[variable])}: wanted ${owner} beside it, the URL that it is the audience of`,
      )
    }
  }
  return backends
}

/**
 * An audience belongs to the URL beside it: BACKEND_AUDIENCE is not sent to a service with a URL of its own, because
 * whoever receives a token can use it wherever its audience is accepted.
 */
function toBackend(env: Env, variable: string, url: URL): Backend {
  const tls = url.protocol === 'https:'
  if (tls && isIP(url.hostname.replace(/^\[|\]$/g, ''))) {
    // grpc-js checks the certificate of an address against the name "localhost".
    throw new ConfigError(`${as(variable, env[variable])}: wanted a host name after "https://", not an address`)
  }
  const named = variable.replace('URL', 'AUDIENCE')
  const given = env[named] || undefined
  const audience = given === 'none' ? undefined : (given ?? (tls ? `https://${url.hostname}` : undefined))
  if (audience && !tls && !isLoopback(url.hostname)) {
    throw new ConfigError(
      `${as(named, audience)}: wanted "none", or https in ${as(variable, env[variable])}: an ID token never travels in the clear`,
    )
  }
  if (audience && /[\s\p{Cc}]/u.test(audience)) {
    throw new ConfigError(`${as(named, audience)}: wanted an audience without spaces, or "none"`)
  }
  const host = url.hostname
  return Object.freeze({
    url: url.origin,
    address: `${host}:${url.port || (tls ? 443 : 80)}`,
    host: url.host,
    tls,
    audience,
  })
}

function parseUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || !/^https?:\/\//i.test(text)) return undefined
  const bare = url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password
  return bare && url.port !== '0' ? url : undefined
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host)
}

/** On Cloud Run, and wherever it is named, the metadata server is asked directly: nothing has to be found out first. */
function metadataHost(env: Env, onCloudRun: boolean): string | undefined {
  if (env.GOOGLE_APPLICATION_CREDENTIALS) return undefined
  const named = env.GCE_METADATA_IP || env.GCE_METADATA_HOST
  if (named) return setting({GCE_METADATA_HOST: named}, 'GCE_METADATA_HOST', 'a host or host:port', parseHost)
  return onCloudRun ? 'metadata.google.internal' : undefined
}

function parseHost(text: string): string | undefined {
  return /^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i.test(text) ? text : undefined
}

/** `ping.PingService` as PING_SERVICE: the name without its package, in upper snake case. */
export function upperSnake(service: string): string {
  const name = service.slice(service.lastIndexOf('.') + 1)
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toUpperCase()
}

function list(text = ''): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)
}

function seconds(env: Env, name: string, {least, most, otherwise}: {least: number; most: number; otherwise: number}) {
  const parsed = setting(env, name, `seconds, from ${least} to ${most}`, (text) => {
    const value = Number(text)
    return value >= least && value <= most ? value : undefined
  })
  return parsed ?? otherwise
}

/** The variable `name` as `parse` reads it; undefined when it is not set, or set to nothing. */
function setting<T>(env: Env, name: string, wanted: string, parse: (text: string) => T | undefined): T | undefined {
  const text = env[name]
  if (!text) return undefined
  const value = parse(text)
  if (value === undefined) throw new ConfigError(`${as(name, text)}: wanted ${wanted}`)
  return value
}

/** A variable as it is set, in one line whatever its value. */
function as(name: string, value: string | undefined): string {
  return `${name}=${JSON.stringify(value)}`
}

/** The configuration of this instance. */
export const config: Config = readConfig(process.env)

import leven, {closestMatch} from 'leven'
import type {RateLimit} from './rate-limit.ts'

/**
 * The configuration is invalid: a variable has an unknown name or a malformed value, or an option of a function does not fit its schema.
 * The message has one line for each problem, for the operator. `run` prints it and ends the process.
 * @example
 * try {
 *   readConfig({BACKEND_URL: 'localhost'})
 * } catch (error) {
 *   if (error instanceof ConfigError) console.error(error.message)
 * }
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** Reads the text of a variable. */
export interface Parser<T> {
  /** Completes the error "NAME="value": expected …". */
  readonly expected: string
  /** Parses `text`, which is never empty. Undefined when it is malformed. */
  parse(text: string): T | undefined
}

/** One variable of the environment: a row of the configuration table. */
export interface Setting<T = unknown> {
  readonly parser: Parser<T>
  /** One sentence in Markdown, for README's table. */
  readonly meaning: string
  /** Value of an unset or empty variable, as text for `parser`. Without a default, the value is undefined then. */
  readonly default?: string
  /** Text for README's column `default`, where `default` does not say it. */
  readonly unset?: string
}

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Any text: a Google library parses and checks it. */
const text: Parser<string> = {expected: 'text', parse: (text) => text}

const flag: Parser<boolean> = {
  expected: '"true" or "false"',
  parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
}

const unknowns: Parser<boolean | 'body' | 'query'> = {
  expected: '"true", "false", "body" or "query"',
  parse: (text) => (text === 'body' || text === 'query' ? text : flag.parse(text)),
}

const port: Parser<number> = {
  expected: 'a port, from 0 to 65535',
  parse: (text) => (/^\d{1,5}$/.test(text) && Number(text) < 65536 ? Number(text) : undefined),
}

const hops: Parser<number> = {
  expected: 'a number of hops, from 0 to 10',
  parse: (text) => (/^\d{1,2}$/.test(text) && Number(text) <= 10 ? Number(text) : undefined),
}

const host: Parser<string> = {
  expected: 'a host or host:port',
  parse: (text) => (/^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i.test(text) ? text : undefined),
}

const audience: Parser<string> = {
  expected: 'an audience without spaces, or "none"',
  parse: (text) => (/[\s\p{Cc}]/u.test(text) ? undefined : text),
}

/** The JSON API of a Storage server: a host or a URL, the forms that Google's clients for other languages accept. */
const storageServer: Parser<string> = {
  expected: '"host:port", or a URL such as "http://localhost:4443"; "/storage/v1" may follow',
  parse: (text) => {
    const url = URL.parse(/^https?:\/\//i.test(text) ? text : `http://${text}`)
    if (!url || url.search || url.hash || url.username || url.password || url.port === '0') return undefined
    return /^\/(storage\/v1\/?)?$/.test(url.pathname) ? `${url.origin}/storage/v1` : undefined
  },
}

/** The URL of a backend. */
export const backendUrl: Parser<URL> = {
  expected: '"https://" (or "http://" for plaintext) and a host, such as "https://ping-xyz.a.run.app"',
  parse: (text) => {
    const url = URL.parse(text)
    if (!url || !/^https?:$/.test(url.protocol) || !/^https?:\/\//i.test(text)) return undefined
    const bare = url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password
    return bare && url.port !== '0' ? url : undefined
  },
}

/** Several separators are allowed, because gcloud's `--set-env-vars` uses one of them itself, usually the comma. */
const names: Parser<readonly string[]> = {
  expected: 'names, separated by commas, semicolons, bars or spaces',
  parse: (text) => {
    const items = text.split(/[\s,;|]+/).filter(Boolean)
    return items.length > 0 ? items : undefined
  },
}

const allProtocols = ['rest', 'connect', 'grpcweb'] as const
export type Protocol = (typeof allProtocols)[number]

const protocols: Parser<readonly Protocol[]> = {
  expected: `some of ${allProtocols.join(', ')}, separated by commas, semicolons, bars or spaces`,
  parse: (text) => {
    const items = names.parse(text)?.map((item) => allProtocols.find((protocol) => protocol === item))
    return items?.every((item) => item !== undefined) ? items : undefined
  },
}

const allValidations = ['protovalidate', 'field_behavior'] as const
export type Validation = (typeof allValidations)[number]

/** A service or method whose methods are tools of the Model Context Protocol, and the tool's name. */
export interface ToolRule {
  /** `pkg.Service` or `pkg.Service/Method`. */
  readonly target: string
  readonly name?: string
}

const tools: Parser<readonly ToolRule[]> = {
  expected:
    '"pkg.Service", "pkg.Service/Method" or "pkg.Service/Method=tool_name", separated by commas, with names of up to 64 letters, digits, _ and -',
  parse: (text) => {
    const rules = names.parse(text)?.map((item): ToolRule | undefined => {
      const [, target, method, name] = /^([\w.]+(\/\w+)?)(?:=([A-Za-z0-9_-]{1,64}))?$/.exec(item) ?? []
      if (target === undefined || (name !== undefined && method === undefined)) return undefined
      return name === undefined ? {target} : {target, name}
    })
    return rules?.every((rule) => rule !== undefined) ? rules : undefined
  },
}

const validations: Parser<readonly Validation[]> = {
  expected: `some of ${allValidations.join(', ')}, separated by commas, semicolons, bars or spaces`,
  parse: (text) => {
    const items = names.parse(text)?.map((item) => allValidations.find((validation) => validation === item))
    return items?.every((item) => item !== undefined) ? items : undefined
  },
}

/** URLs without a trailing slash, because paths begin with one. */
const serverUrls: Parser<readonly string[]> = {
  expected:
    'URLs such as "https://api.example.com/v1", or paths such as "/v1", separated by commas, semicolons, bars or spaces',
  parse: (text) => {
    const urls = names.parse(text)
    const isServer = (url: string) =>
      /^(?:https?:\/\/[^/?#]|\/(?!\/))[^?#]*$/i.test(url) && URL.canParse(url, 'http://here')
    return urls?.every(isServer) ? urls.map((url) => url.replace(/(?<=.)\/+$/, '')) : undefined
  },
}

/** A way to authenticate, as a Security Scheme Object of OpenAPI 3.1. */
export type SecurityScheme =
  | {readonly type: 'http'; readonly scheme: 'bearer' | 'basic'}
  | {readonly type: 'apiKey'; readonly in: 'header' | 'query'; readonly name: string}
  | {readonly type: 'openIdConnect'; readonly openIdConnectUrl: string}

const securitySchemes: Parser<readonly SecurityScheme[]> = {
  expected:
    '"none", or some of "bearer", "basic", "header:x-api-key", "query:key" and the URL of an OpenID Connect discovery document, separated by commas, semicolons, bars or spaces',
  parse: (text) => {
    if (text === 'none') return []
    const schemes = names.parse(text)?.map(securityScheme)
    return schemes?.every((scheme) => scheme !== undefined) ? schemes : undefined
  },
}

function securityScheme(text: string): SecurityScheme | undefined {
  if (text === 'bearer' || text === 'basic') return {type: 'http', scheme: text}
  const [, place, name = ''] = /^(header|query):([\w.~-]+)$/.exec(text) ?? []
  if (place === 'header' || place === 'query') return {type: 'apiKey', in: place, name}
  return /^https:\/\/[^/]/i.test(text) && URL.canParse(text)
    ? {type: 'openIdConnect', openIdConnectUrl: text}
    : undefined
}

/** A bucket, or a folder in it. */
const storagePlace: Parser<{readonly bucket: string; readonly folder: string}> = {
  expected: 'a bucket, or a folder in one: "BUCKET" or "BUCKET/incoming/"',
  parse: (text) => {
    const [, bucket, folder = ''] = /^([a-z\d][a-z\d._-]{1,221})(?:\/((?:[^\s/]+\/)*))?$/.exec(text) ?? []
    return bucket === undefined ? undefined : {bucket, folder}
  },
}

const metadataKeys: Parser<readonly string[]> = {
  expected: 'metadata keys such as "x-tenant", separated by commas, semicolons, bars or spaces',
  parse: (text) => {
    const keys = names.parse(text.toLowerCase())
    return keys?.every((key) => /^[0-9a-z_.-]+$/.test(key)) ? keys : undefined
  },
}

/** Origins as in the header `Origin`, in lower case and without a path. `:*` stands for any port. */
const origins: Parser<readonly string[]> = {
  expected:
    'origins such as "https://app.example" or "http://localhost:*", separated by commas, semicolons, bars or spaces; or "*"',
  parse: (text) => {
    const items = names.parse(text)?.map(originOf)
    return items?.every((item) => item !== undefined) ? items : undefined
  },
}

function originOf(text: string): string | undefined {
  if (text === '*' || text === 'null') return text
  const [, scheme, anyPort] = /^([a-z][a-z\d+.-]*):\/\/[^/?#@*]+?(:\*)?$/i.exec(text) ?? []
  if (!scheme) return undefined
  if (!/^https?$/i.test(scheme)) return text.toLowerCase()
  const url = URL.parse(anyPort ? text.slice(0, -anyPort.length) : text)
  return url ? `${url.origin}${anyPort ?? ''}` : undefined
}

/** Parses rows, separated by semicolons or line breaks, of words, separated by spaces. */
function rows<T>(expected: string, row: (words: readonly string[]) => T | undefined): Parser<readonly T[]> {
  return {
    expected,
    parse: (text) => {
      const lines = text.split(/[;\r\n]+/).map((line) => line.trim().split(/\s+/))
      const read = lines.filter(([first]) => first !== '').map(row)
      return read.length > 0 && read.every((one) => one !== undefined) ? read : undefined
    },
  }
}

/** Parses `name=value` words to a record. Undefined for a name that is not in `known`, or occurs twice. */
function assignments<N extends string>(
  words: readonly string[],
  known: readonly N[],
): Partial<Record<N, string>> | undefined {
  const given: Partial<Record<N, string>> = {}
  for (const word of words) {
    const [, name = '', value = ''] = /^([a-z]+)=(\S+)$/.exec(word) ?? []
    const found = known.find((one) => one === name)
    if (!found || found in given) return undefined
    given[found] = value
  }
  return given
}

/** An issuer of tokens: a row of AUTH_ISSUERS. */
export interface IssuerConfig {
  /** The claim `iss`, exactly. */
  readonly issuer: string
  /** Accepted audiences: a token must have at least one of them. */
  readonly audiences: readonly string[]
  /** URL of its keys; undefined if the discovery document gives it. */
  readonly jwks: string | undefined
  /** Its own token header, in lower case; undefined for `authorization`. */
  readonly header: string | undefined
}

/** The issuer and keys of Identity-Aware Proxy, which has no discovery document. */
const iap = {
  issuer: 'https://cloud.google.com/iap',
  jwks: 'https://www.gstatic.com/iap/verify/public_key-jwk',
  header: 'x-goog-iap-jwt-assertion',
}

/** Headers that no issuer has for itself. A browser sends cookies by itself, for any page that has it call. */
const ofOthers: ReadonlySet<string> = new Set(['authorization', 'cookie', 'host', 'x-api-key'])

const issuers = rows(
  '"issuer audience=…", with "jwks=URL" and "header=NAME" where needed, issuers separated by semicolons; URLs with https',
  issuerIn,
)

function issuerIn([issuer = '', ...words]: readonly string[]): IssuerConfig | undefined {
  const given = assignments(words, ['audience', 'jwks', 'header'])
  const audiences = given?.audience?.split('|').filter(Boolean) ?? []
  if (!given || audiences.length === 0 || !isSafeUrl(issuer) || (given.jwks && !isSafeUrl(given.jwks))) return undefined
  const header = given.header?.toLowerCase()
  if (header !== undefined && (!/^[\w-]+$/.test(header) || ofOthers.has(header))) return undefined
  const own = issuer === iap.issuer ? iap : undefined
  return {issuer, audiences, jwks: given.jwks ?? own?.jwks, header: header ?? own?.header}
}

/** Keys have to be fetched over https, except from this machine: over http anybody could replace them. */
function isSafeUrl(text: string): boolean {
  const url = URL.parse(text)
  if (!url || url.search || url.hash || url.username || url.password) return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host)
}

const claimName: Parser<string> = {
  expected: 'the name of a claim, such as "sub"',
  parse: (text) => (/^[^\s\p{Cc}]+$/u.test(text) ? text : undefined),
}

/** A field of an upload's context and its template: `{bucket}`, `{object}`, `{metadata.key}` and literal text. */
export interface ContextField {
  readonly field: string
  readonly template: string
}

const contextFields: Parser<readonly ContextField[]> = {
  expected:
    'fields of the context with their templates, separated by semicolons, such as "creatorId={metadata.creator}; name={object}". Templates can contain {bucket}, {object}, {generation}, {contentType} and {metadata.KEY}',
  parse: contextFieldsIn,
}

/** `field=template; field=template`: undefined for anything else. */
export function contextFieldsIn(text: string): readonly ContextField[] | undefined {
  const rows = text.split(/[;\r\n]+/).map((row) => row.trim())
  const fields = rows.filter(Boolean).map((row) => {
    const [, field = '', template = ''] = /^([\w.]+)\s*=\s*(.+)$/.exec(row) ?? []
    const rest = template.replace(/\{(?:bucket|object|generation|contentType|metadata\.[^{}]+)\}/g, '')
    return {field, template, isRight: field !== '' && !/[{}]/.test(rest)}
  })
  const isRight = fields.length > 0 && fields.every((field) => field.isRight)
  return isRight ? fields.map(({field, template}) => ({field, template})) : undefined
}

/** How a service signs its requests: a row of AUTH_WEBHOOK. */
export interface WebhookConfig {
  /** `pkg.Service/Method`, or the path of a function. */
  readonly target: string
  /** The format of the signed text and of the signature. */
  readonly form: 'github' | 'stripe' | 'slack' | 'plain'
  /** The header with the signature, in lower case. */
  readonly header: string
  readonly algorithm: 'sha256' | 'sha384' | 'sha512'
  readonly encoding: 'hex' | 'base64'
  /** Path of a file with the secret. During a rotation it has several secrets, one on each line. */
  readonly secret: string
}

const webhookForms = {
  github: 'x-hub-signature-256',
  stripe: 'stripe-signature',
  slack: 'x-slack-signature',
} as const

const webhooks = rows(
  '"pkg.Service/Method github secret=FILE" (or stripe, slack), or "/path header=NAME algorithm=sha256 encoding=hex secret=FILE", rows separated by semicolons',
  webhookIn,
)

function webhookIn([target = '', first = '', ...more]: readonly string[]): WebhookConfig | undefined {
  const form = Object.hasOwn(webhookForms, first) ? (first as keyof typeof webhookForms) : undefined
  const known = form ? (['secret'] as const) : (['secret', 'header', 'algorithm', 'encoding'] as const)
  const given: Partial<Record<'secret' | 'header' | 'algorithm' | 'encoding', string>> | undefined = assignments(
    form ? more : [first, ...more],
    known,
  )
  // A row is for one method or one function.
  if (!given?.secret || !methodOrPath.test(target) || !target.includes('/')) return undefined
  const {secret, header, algorithm = 'sha256', encoding = 'hex'} = given
  if (form) return {target, form, header: webhookForms[form], algorithm: 'sha256', encoding: 'hex', secret}
  const isRight =
    /^[\w-]+$/.test(header ?? '') && /^sha(256|384|512)$/.test(algorithm) && /^(hex|base64)$/.test(encoding)
  if (!header || !isRight) return undefined
  const name = header.toLowerCase()
  return {target, form: 'plain', header: name, algorithm, encoding, secret} as WebhookConfig
}

const rateLimit: Parser<RateLimit> = {
  expected: 'requests and a window of time, such as "100/60s", "1000/5m" or "5000/1h", up to a day',
  parse: (text) => {
    const [, count = '', time = '', unit = ''] = /^(\d{1,9})\/(\d{1,5})([smh])$/.exec(text) ?? []
    const requests = Number(count)
    const window = Number(time) * ({s: 1000, m: 60_000, h: 3_600_000}[unit] ?? 0)
    return requests > 0 && window > 0 && window <= 86_400_000 ? {requests, window} : undefined
  },
}

const methodOrPath = /^(?:[A-Za-z_][\w.]*(?:\/\w+)?|\/[^\s,;|]*)$/

const methodsAndPaths: Parser<readonly string[]> = {
  expected:
    '"none", or methods such as "pkg.Service/Method", services, or paths such as "/openapi.json", separated by commas, semicolons, bars or spaces',
  parse: (text) => {
    if (text === 'none') return []
    const items = names.parse(text)
    return items?.every((item) => methodOrPath.test(item)) ? items : undefined
  },
}

/** Conditions on the claims of callers: a row of AUTH_ALLOW. All of them must be met. */
export interface AllowRule {
  /** `pkg.Service/Method`, or `pkg.Service`. */
  readonly target: string
  readonly conditions: readonly {readonly claim: string; readonly values: readonly string[]}[]
}

const allowRules = rows(
  '"pkg.Service claim=value|value" or "pkg.Service/Method claim=value", rules separated by semicolons',
  ([target = '', ...words]): AllowRule | undefined => {
    const conditions = words.map(conditionIn).filter((condition) => condition !== undefined)
    const isRight = conditions.length > 0 && conditions.length === words.length
    return isRight && methodOrPath.test(target) && !target.startsWith('/') ? {target, conditions} : undefined
  },
)

/** `claim=value|value`: undefined for anything else. */
export function conditionIn(word: string): AllowRule['conditions'][number] | undefined {
  const [, claim = '', list = ''] = /^([^=\s]+)=(\S+)$/.exec(word) ?? []
  const values = list.split('|').filter(Boolean)
  return values.length > 0 ? {claim, values} : undefined
}

/** Names the field of an answer that is its event's id, and the field of the request that receives the last id. */
export interface EventIdConfig {
  /** `pkg.Service/Method` */
  readonly method: string
  readonly response: string
  readonly request: string
}

const eventIds: Parser<readonly EventIdConfig[]> = {
  expected:
    '"pkg.Service/Method=<response field>:<request field>", several separated by commas, semicolons, bars or spaces',
  parse: (text) => {
    const rows = names.parse(text)?.map((row) => {
      const [, method, response, request] =
        /^([A-Za-z_][\w.]*\/\w+)=([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)$/.exec(row) ?? []
      return method && response && request ? {method, response, request} : undefined
    })
    return rows?.every((row) => row !== undefined) ? rows : undefined
  },
}

function oneOf<const T extends string>(...values: readonly T[]): Parser<T> {
  const quoted = values.map((value) => `"${value}"`)
  return {
    expected: quoted.length === 2 ? quoted.join(' or ') : `one of ${values.join(', ')}`,
    parse: (text) => values.find((value) => value === text),
  }
}

/** A duration in seconds, converted to ms. */
function seconds(min: number, max: number): Parser<number> {
  return {
    expected: `seconds, from ${min} to ${max}`,
    parse: (text) => (Number(text) >= min && Number(text) <= max ? 1000 * Number(text) : undefined),
  }
}

function integer(min: number, max: number): Parser<number> {
  return {
    expected: `a whole number, from ${min} to ${max}`,
    parse: (text) => (/^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max ? Number(text) : undefined),
  }
}

/** Upper bound of limits in bytes. */
const gibibyte = 1024 ** 3

/**
 * Every environment variable, one row each, in the order of README's table, which `npm run docs` writes from here. A name with
 * `<SERVICE>` stands for one variable for each service, whose name is in upper snake case.
 */
export const settings = {
  BACKEND_URL: {
    parser: backendUrl,
    meaning:
      'the backend of every service: `https://ping-xyz.a.run.app` (TLS, port 443 unless the URL has one) or `http://localhost:9090` (plaintext HTTP/2)',
    unset: 'must be set',
  },
  'BACKEND_URL_<SERVICE>': {
    parser: backendUrl,
    meaning: 'the same for one service, its name in upper snake case: `BACKEND_URL_PING_SERVICE`, `BACKEND_URL_REPO`',
    unset: '`BACKEND_URL`',
  },
  BACKEND_AUDIENCE: {
    parser: audience,
    meaning:
      'the audience of the ID tokens for `BACKEND_URL`; `none`: send no token. Cloud Run takes the run.app URL of the service and no other name: where `BACKEND_URL` is a custom domain, set this to the run.app URL, or [give the service the domain as a custom audience](docs/deploy.md#a-backend-of-your-own). Refused for plaintext that is not loopback',
    unset: "https: the URL's origin without its port; http: none",
  },
  'BACKEND_AUDIENCE_<SERVICE>': {
    parser: audience,
    meaning: 'the same for `BACKEND_URL_<SERVICE>`; a token is only sent to the URL that it belongs to',
    unset: 'as above',
  },
  BACKEND_CONNECT_TIMEOUT_SECONDS: {
    parser: seconds(0.001, 3600),
    meaning: 'timeout for a connection to the backend, in seconds; then calls fail',
    default: '10',
  },
  UPLOAD_BUCKETS: {
    parser: names,
    meaning:
      'a [list](#lists) of the buckets that `upload` may read from, or of folders in them: `BUCKET`, `BUCKET/incoming/`',
    unset: 'none',
  },
  UPLOAD_SESSIONS: {
    parser: storagePlace,
    meaning:
      'the place for files that are too large for one request of `upload`: `BUCKET`, `BUCKET/incoming/`. It must be in `UPLOAD_BUCKETS` too. `POST /upload/session` then begins a [resumable upload](docs/upload.md#large-files) of one new object, which needs `roles/storage.objectCreator` there',
    unset: 'nowhere',
  },
  UPLOAD_CREATOR: {
    parser: claimName,
    meaning:
      'the claim of the verified caller, such as `sub`, that names the creator of an upload; a request that names another creator is 403. It needs `AUTH=jwt`',
    unset: 'the request names the creator',
  },
  UPLOAD_CONTEXT: {
    parser: contextFields,
    meaning:
      'the template from which [`finalized`](docs/events.md) makes the context of an upload: `creatorId={metadata.creator}; name={object}`. It can contain `{bucket}`, `{object}`, `{generation}`, `{contentType}` and `{metadata.KEY}`',
    unset: 'must be set only for `finalized`; `npm start`: `creatorId=storage; name={object}`',
  },
  GATEWAY_DESCRIPTORS: {
    parser: text,
    meaning: 'a file with the FileDescriptorSet that the gateway serves',
    unset: 'the one built from `proto/`',
  },
  GATEWAY_SCHEMA: {
    parser: oneOf('descriptors', 'reflection'),
    meaning:
      '`reflection`: the schema comes from the backends, by [server reflection](docs/reflection.md). The first request fetches it, and no protos are needed here',
    default: 'descriptors',
  },
  GATEWAY_SCHEMA_MAX_AGE_SECONDS: {
    parser: seconds(1, 3600),
    meaning: 'how many seconds a schema from `GATEWAY_SCHEMA=reflection` is cached',
    default: '300',
  },
  GATEWAY_RULES: {
    parser: text,
    meaning:
      "a file with [rules](docs/rules.md) in the format of Google's service configuration, YAML or JSON. They replace the rules of the protos",
    unset: 'only the rules of the protos',
  },
  GATEWAY_SERVICES: {
    parser: names,
    meaning: 'a [list](#lists) of the services that the gateway serves, by full name, with all of their methods',
    unset: 'all methods with a rule, except in services of `google.*` that other protos only import',
  },
  GATEWAY_DEFAULT_BINDINGS: {
    parser: flag,
    meaning:
      '`true`: methods without a rule are served too, and services of `google.*` that other protos only import; `false`: none without a rule',
    unset: '`true` for services that `GATEWAY_SERVICES` names',
  },
  GATEWAY_UNSERVABLE: {
    parser: oneOf('stop', 'warn'),
    meaning:
      '`warn`: rules that cannot be served are left out, and the log says which and why; `stop`: they stop the start',
    default: 'stop',
  },
  GATEWAY_PROTOCOLS: {
    parser: protocols,
    meaning:
      'a [list](#lists) of the protocols in which methods are served: `rest`, `connect`, `grpcweb`; all serve the same methods',
    default: 'rest,connect,grpcweb',
  },
  GATEWAY_VALIDATE: {
    parser: validations,
    meaning:
      'a [list](#lists) of the proto options by which requests are [validated](docs/validation.md) before their backend is called: `protovalidate`, `field_behavior`',
    unset: 'none',
  },
  GATEWAY_PRESET: {
    parser: oneOf('grpc-gateway', 'envoy', 'google'),
    meaning:
      'sets the switches below so that clients of [another gateway](docs/migrating.md#presets) work unchanged; a switch that is set itself has priority',
    unset: 'none',
  },
  GATEWAY_IGNORE_UNKNOWN: {
    parser: unknowns,
    meaning:
      '`true`: unknown JSON fields and query parameters are ignored rather than refused; `body`: only the fields; `query`: only the parameters',
    default: 'false',
  },
  GATEWAY_BOUND_PARAMETERS: {
    parser: oneOf('refuse', 'ignore'),
    meaning: '`ignore`: query parameters for fields that path or body set are ignored rather than refused',
    default: 'refuse',
  },
  GATEWAY_MAP_PARAMETERS: {
    parser: flag,
    meaning:
      '`true`: `labels[color]=red` in the query sets an entry of a map, and an empty value sets a google.protobuf.Empty',
    default: 'false',
  },
  GATEWAY_BOOLEANS: {
    parser: oneOf('strict', 'any'),
    meaning:
      '`any`: in path and query, `1`, `t`, `y` and `yes` are `true`, `0`, `f`, `n` and `no` are `false`, in any case',
    default: 'strict',
  },
  GATEWAY_FORMS: {
    parser: oneOf('body', 'query'),
    meaning:
      '`query`: if a rule takes no body, a form is read as if it were the query, and a POST of a form matches rules of GET, or of the method in `X-HTTP-Method-Override`',
    default: 'body',
  },
  GATEWAY_CONTENT_TYPES: {
    parser: oneOf('strict', 'any'),
    meaning: '`any`: a body with any `Content-Type` is read as JSON; otherwise 415 unless it is JSON or a form',
    default: 'strict',
  },
  GATEWAY_UNEXPECTED_BODY: {
    parser: oneOf('refuse', 'ignore'),
    meaning: '`ignore`: if the rule takes no body, a body is not read; otherwise 400 unless it is `{}`',
    default: 'refuse',
  },
  GATEWAY_INVALID_METADATA: {
    parser: oneOf('refuse', 'drop'),
    meaning: '`drop`: headers `grpc-metadata-*` that metadata cannot hold are dropped rather than refused',
    default: 'refuse',
  },
  GATEWAY_PATH_DECODING: {
    parser: oneOf('slash', 'reserved', 'all', 'first'),
    meaning:
      'what stays percent-encoded in a variable of many segments: `slash`: `%2F`; `reserved`: the reserved characters of RFC 6570; `all`: nothing that `**` captures; `first`: the path is decoded before routing, so that `%2F` separates segments',
    default: 'slash',
  },
  GATEWAY_ZERO_VALUES: {
    parser: oneOf('omit', 'print', 'print-unset'),
    meaning:
      '`print`: fields with zero values, empty lists and maps are written too; `print-unset`: unset fields are also written, as `null`',
    default: 'omit',
  },
  GATEWAY_FIELD_NAMES: {
    parser: oneOf('json', 'proto'),
    meaning: '`proto`: fields are written by their proto names, `display_name`; both are read',
    default: 'json',
  },
  GATEWAY_ENUMS: {
    parser: oneOf('name', 'number'),
    meaning: '`number`: enums are written as numbers; both are read',
    default: 'name',
  },
  GATEWAY_STREAMS: {
    parser: oneOf('ndjson', 'array', 'lines'),
    meaning:
      'the format of a server stream without `Accept`: NDJSON, or one JSON array; `lines`: NDJSON with the type `application/json`, also in place of arrays',
    default: 'ndjson',
  },
  GATEWAY_STREAM_RESULTS: {
    parser: flag,
    meaning: '`true`: each message of a stream is written as `{"result": …}`, except in events',
    default: 'false',
  },
  GATEWAY_TRAILERS: {
    parser: oneOf('headers', 'trailers'),
    meaning:
      "`trailers`: the backend's trailers become HTTP trailers, for callers that send `TE: trailers`; otherwise headers. Google's front ends drop HTTP trailers",
    default: 'headers',
  },
  GATEWAY_METHOD_NOT_ALLOWED: {
    parser: oneOf('405', '404', '501'),
    meaning: 'the status if a path exists, but not for the HTTP method of the request: `405`, `404` or `501`',
    default: '405',
  },
  GATEWAY_UPDATE_MASK: {
    parser: oneOf('fill', 'off'),
    meaning: '`fill`: a PATCH without an [update mask](#updates) gets one with the fields in its body',
    default: 'fill',
  },
  GATEWAY_ERRORS: {
    parser: oneOf('aip', 'status'),
    meaning: '`status`: errors in the format of google.rpc.Status',
    default: 'aip',
  },
  GATEWAY_FORWARD_AUTHORIZATION: {
    parser: flag,
    meaning:
      "`true`: the caller's own `authorization` is forwarded to the backend; our ID token is then always in `x-serverless-authorization`",
    default: 'false',
  },
  GATEWAY_METADATA: {
    parser: metadataKeys,
    meaning:
      'a [list](#lists) of the metadata keys that callers may set by headers `grpc-metadata-*`: `x-tenant,x-locale`',
    unset: 'all except those of front ends, HTTP or gRPC',
  },
  GATEWAY_MESSAGE_TIMEOUT_SECONDS: {
    parser: seconds(0.001, 3600),
    meaning: 'how many seconds a server stream of a backend may be silent, before it ends with DEADLINE_EXCEEDED',
    unset: 'only the timeout of the request',
  },
  GATEWAY_CREATED: {
    parser: flag,
    meaning:
      '`true`: methods `Create…` answer 201 with [the `Location` of the resource](docs/conventions.md#created-resources)',
    default: 'false',
  },
  GATEWAY_EVENT_ID: {
    parser: eventIds,
    meaning:
      "a [list](#lists) of the methods whose [event streams are resumed](docs/streams.md#resuming-a-stream) after a lost connection: `pkg.Service/Method=sequence:after` names the field of an answer that is its event's id, and the field of the request that receives the last id; nested fields with dots",
    unset: 'none: events are numbered, and a stream starts again',
  },
  GATEWAY_WEBSOCKET: {
    parser: flag,
    meaning:
      '`true`: client-streaming and bidirectional methods can also be called [over a WebSocket](docs/streams.md#websocket)',
    default: 'false',
  },
  MCP: {
    parser: flag,
    meaning: '`true`: agents get the methods as [tools of the Model Context Protocol](docs/agents.md) at `/mcp`',
    default: 'false',
    unset: '`false`; `npm start`: `true`',
  },
  MCP_TOOLS: {
    parser: tools,
    meaning:
      'a [list](#lists) of the services and methods that are [tools](docs/agents.md#tools), and their names: `books.Library, ping.PingService/Send=send_ping`',
    unset: 'all methods that do not take a stream',
  },
  GATEWAY_MAX_BODY_BYTES: {
    parser: integer(1, gibibyte),
    meaning:
      'limit for a request body, in bytes; of client streams, and in Connect and gRPC-Web, for each message. Beyond: 413',
    default: '1048576',
  },
  GATEWAY_MAX_BODY_VALUES: {
    parser: integer(1, 1e9),
    meaning:
      'limit for the values of one request message: its objects, arrays, strings, numbers, …, and query parameters. Beyond: 400',
    default: '20000',
  },
  GATEWAY_MAX_DECODING_BYTES: {
    parser: integer(1, gibibyte),
    meaning:
      'limit for the bytes of request bodies that the instance receives and decodes at the same time: about a 32nd of its memory, and at least `GATEWAY_MAX_BODY_BYTES`. Beyond: 429',
    unset: '8388608, or `GATEWAY_MAX_BODY_BYTES` if that is more',
  },
  MAX_CONCURRENT_REQUESTS: {
    parser: integer(1, 1e6),
    meaning:
      'limit for concurrent requests of the instance, without health checks and preflights. Beyond: 429. Set it to the value of `--concurrency`',
    default: '1000',
  },
  RATE_LIMIT: {
    parser: rateLimit,
    meaning:
      'limit for the requests of one caller: `100/60s`, `5000/1h`. Beyond: 429. Callers are told apart by their verified identity, or else by address. Each instance counts in its own memory, so that a caller gets this limit from each',
    unset: 'no limit',
  },
  OPENAPI_TITLE: {
    parser: text,
    meaning: 'the title of `/openapi.json`',
    default: 'gRPC services over HTTP',
  },
  OPENAPI_VERSION: {
    parser: text,
    meaning: 'the version of the API that `/openapi.json` describes',
    default: '1',
  },
  OPENAPI_SERVERS: {
    parser: serverUrls,
    meaning: 'a [list](#lists) of the base URLs of the API, for `/openapi.json`: `https://api.example.com`',
    default: '/',
  },
  OPENAPI_SECURITY: {
    parser: securitySchemes,
    meaning:
      'a [list](#lists) of the ways to authenticate, any one of which is enough, for `/openapi.json`: `bearer` (a token in `Authorization`), `basic`, `header:x-api-key`, `query:key`, the URL of an OpenID Connect discovery document; `none`: not needed. It is only documentation: nothing is checked by it',
    unset: 'the ways that `AUTH=jwt` accepts; otherwise not documented',
  },
  CONSOLE: {
    parser: flag,
    meaning:
      '`true`: a browser gets [a page](docs/page.md) at `/` that shows every method and calls it. The page itself is open; its data about the API has the same access rules as `/openapi.json`',
    default: 'false',
    unset: '`false`; `npm start`: `true`',
  },
  CORS_ORIGINS: {
    parser: origins,
    meaning:
      'a [list](#lists) of the origins whose pages may call, `https://app.example` or with any port `http://localhost:*`; or `*`. Pages of other origins can read no answers, and send only GET and HEAD',
    unset: 'none; `npm start`: those of this machine',
  },
  AUTH: {
    parser: oneOf('iam', 'jwt', 'none'),
    meaning:
      'how [callers are authenticated](#who-calls): `iam`: by the platform; `jwt`: a token of `AUTH_ISSUERS` or a key of `AUTH_API_KEYS` is needed; `none`: anybody may call',
    unset: 'on Cloud Run it must be set; elsewhere `none`',
  },
  AUTH_ISSUERS: {
    parser: issuers,
    meaning:
      'the issuers whose tokens are accepted, with their audiences: `https://accounts.google.com audience=a.example|b.example; https://idp.example/ audience=… jwks=https://idp.example/keys`. The URL of the keys comes from the discovery document or `jwks=`. `header=` names the header of an issuer that does not use `authorization`',
  },
  AUTH_PUBLIC: {
    parser: methodsAndPaths,
    meaning:
      'a [list](#lists) of the methods, services, and paths of functions that need no credentials: `ping.PingService/Send,/openapi.json`; `none`: nothing, not even methods that [a proto opens](docs/security.md#in-the-proto)',
    unset: 'methods that a proto opens',
  },
  AUTH_ALLOW: {
    parser: allowRules,
    meaning:
      'claims that callers of a service or method must have: `users.Users hd=example.com; users.Users/Delete email=a@example.com|b@example.com`',
    unset: 'any verified caller',
  },
  AUTH_API_KEYS: {
    parser: text,
    meaning:
      'a file of the keys that are accepted in `x-api-key`, one on each line: `<SHA-256 in hex> <name> <methods with commas, or *>`. It is read again when it changes',
  },
  AUTH_WEBHOOK: {
    parser: webhooks,
    meaning:
      'the methods and functions that are called by webhooks with an HMAC signature: `hooks.Hooks/Push github secret=/secrets/github; /stripe stripe secret=/secrets/stripe`; `slack`, or `header=x-signature algorithm=sha256 encoding=hex` for others',
  },
  EVENT_STREAM_PING_SECONDS: {
    parser: seconds(0.001, 3600),
    meaning: 'how many seconds an event stream may be silent, before a comment is sent',
    default: '15',
  },
  STORAGE_STALL_SECONDS: {
    parser: seconds(0.001, 3600),
    meaning: 'how many seconds a Storage read may receive no byte, before it is cancelled and resumed',
    default: '10',
  },
  LOG_LEVEL: {
    parser: oneOf(...logLevels),
    meaning: '`debug` logs each gRPC call too; `trace`, `info`, `warn`, `error`, `fatal`, `silent`',
    default: 'info',
  },
  TRUSTED_HOPS: {
    parser: hops,
    meaning:
      "how many entries of `X-Forwarded-For` are skipped, from the right, to find the caller's address for the log: 0 behind Cloud Run alone, 1 more for each load balancer or proxy of yours in front",
    default: '0',
  },
  PORT: {
    parser: port,
    meaning: 'the port that the functions listen on',
    default: '8080',
  },
  FUNCTION_TARGET: {
    parser: text,
    meaning:
      'the function to serve; Cloud Run sets it to `--entry-point`. `all`: every function of the table, each at its name, for development',
    default: 'app',
  },
  K_SERVICE: {
    parser: text,
    meaning: "set by Cloud Run: ID tokens then come from the platform's metadata server",
  },
  K_REVISION: {
    parser: text,
    meaning: 'set by Cloud Run: the version that Error Reporting is told of',
  },
  CLOUD_RUN_TIMEOUT_SECONDS: {
    parser: seconds(2, 3600),
    meaning: "the function's timeout, set by Cloud Run; 504 is answered one second before it",
    default: '300',
  },
  GOOGLE_CLOUD_PROJECT: {
    parser: text,
    meaning: 'the project for linking log lines to traces',
  },
  GOOGLE_APPLICATION_CREDENTIALS: {
    parser: text,
    meaning: "a service account's key file, impersonation, or another kind that google-auth-library knows",
    unset: 'the metadata server, or your own login',
  },
  NODE_EXTRA_CA_CERTS: {
    parser: text,
    meaning:
      "a file with the certificates of further authorities, such as a [private CA](docs/deploy.md#a-backend-of-your-own)'s; Node reads it as it starts",
  },
  GCE_METADATA_HOST: {
    parser: host,
    meaning: "a metadata server other than Google's, `host` or `host:port`",
  },
  GCE_METADATA_IP: {
    parser: host,
    meaning: 'the same by address; it has priority over `GCE_METADATA_HOST`',
  },
  STORAGE_EMULATOR_HOST: {
    parser: storageServer,
    meaning: "a Storage server other than Google's, such as fake-gcs-server or storage-testbench: `host:port` or a URL",
  },
} as const satisfies Readonly<Record<string, Setting>>

export type Env = Readonly<Record<string, string | undefined>>
type Settings = typeof settings
export type SettingName = keyof Settings

type Parsed<N extends SettingName> = Settings[N]['parser'] extends Parser<infer T> ? T : never
type Value<N extends SettingName> = Settings[N] extends {readonly default: string} ? Parsed<N> : Parsed<N> | undefined

/**
 * The value of the variable `name` in `env`, or its default.
 * @throws {ConfigError} naming the variable, its value and what was expected
 */
export function read<N extends SettingName>(env: Env, name: N): Value<N> {
  const setting: Setting = settings[name]
  const given = env[name] || setting.default
  return (given === undefined ? undefined : parsed(setting, name, given)) as Value<N>
}

/**
 * The values of all variables in `env` that match the row `pattern`, by the text in place of `<SERVICE>`.
 * @throws {ConfigError} naming the variable, its value and what was expected
 */
export function readAll<N extends SettingName & `${string}<SERVICE>`>(env: Env, pattern: N): Map<string, Parsed<N>> {
  const prefix = pattern.replace('<SERVICE>', '')
  const found = new Map<string, Parsed<N>>()
  for (const [name, given] of Object.entries(env)) {
    if (!given || !isNamedBy(pattern, name)) continue
    found.set(name.slice(prefix.length), parsed(settings[pattern], name, given) as Parsed<N>)
  }
  return found
}

/** Prefixes that no other program uses: a variable with such a name and without a row is a mistake. */
const prefixes = ['BACKEND_', 'GATEWAY_', 'UPLOAD_', 'CORS_', 'OPENAPI_', 'RATE_LIMIT']

/** Variables whose prefix other programs use too: only a name that is nearly the same is treated as a misspelling. */
const alone: readonly SettingName[] = [
  'EVENT_STREAM_PING_SECONDS',
  'MAX_CONCURRENT_REQUESTS',
  'STORAGE_STALL_SECONDS',
  'TRUSTED_HOPS',
]

/**
 * Refuses variables that look like ours but have no row in the table, because a misspelt variable would silently have no effect.
 * @throws {ConfigError} with a line for each of them that names the nearest known one
 */
export function refuseUnknown(env: Env): void {
  const rows = Object.keys(settings)
  const isOurs = (name: string) => prefixes.some((prefix) => name.startsWith(prefix)) || isNearlyOurs(name, rows)
  const unknown = Object.keys(env).filter(
    (name) => env[name] && isOurs(name) && !rows.some((row) => isNamedBy(row, name)),
  )
  if (unknown.length === 0) return
  const lines = unknown.map((name) => {
    const known = rows.map((row) => row.replace('<SERVICE>', serviceIn(name, row)))
    return `${name} is not a known variable: did you mean ${nearest(name, known)}?`
  })
  throw new ConfigError(lines.join('\n'))
}

/** Whether `name` may be a misspelt AUTH_… or one of `alone`. */
function isNearlyOurs(name: string, rows: readonly string[]): boolean {
  if (name.startsWith('AUTH_')) return rows.some((row) => row.startsWith('AUTH_') && leven(name, row) <= 2)
  // Only one edit: TRUSTED_HOSTS, which differs in two from TRUSTED_HOPS, may belong to another program.
  return alone.some((row) => leven(name, row) <= 1)
}

/** The service in the misspelt `name`, if the row `pattern` is meant: REPO in BACKEND_URI_REPO for BACKEND_URL_<SERVICE>. */
function serviceIn(name: string, pattern: string): string {
  const words = name.toUpperCase().split(/[^A-Z0-9]+/)
  return words.slice(pattern.split('_').length - 1).join('_') || '<SERVICE>'
}

/** The name in `known` with the smallest edit distance to `name`. */
export function nearest(name: string, known: readonly string[]): string {
  const [first = ''] = known
  const lowerCase = new Map(known.map((each) => [each.toLowerCase(), each]))
  return lowerCase.get(closestMatch(name.toLowerCase(), [...lowerCase.keys()]) ?? '') ?? first
}

/** Whether the row `pattern` matches the variable `name`. */
export function isNamedBy(pattern: string, name: string): boolean {
  const [prefix = '', rest] = pattern.split('<SERVICE>')
  return rest === undefined
    ? name === pattern
    : name.startsWith(prefix) && /^[A-Z0-9_]+$/.test(name.slice(prefix.length))
}

function parsed(setting: Setting, name: string, given: string): unknown {
  const value = setting.parser.parse(given)
  if (value === undefined) throw wrong(name, given, setting.parser.expected)
  return value
}

/** The error about a variable, in one line for any value. */
export function wrong(name: string, given: string | undefined, expected: string): ConfigError {
  return new ConfigError(`${assignment(name, given)}: expected ${expected}`)
}

/** A variable with its value: `NAME="value"`. */
export function assignment(name: string, given: string | undefined): string {
  return `${name}=${JSON.stringify(given)}`
}

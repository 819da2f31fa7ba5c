import {readFileSync} from 'node:fs'
import {METHODS} from 'node:http'
import type {DescMethod, FileRegistry} from '@bufbuild/protobuf'
import {pathOf} from '../clients/call.ts'
import {type Config, ConfigError, type GatewayConfig, upperSnake} from '../core/config.ts'
import {namedIn} from '../core/contract.ts'
import {nearest} from '../core/settings.ts'
import {schemaChannel} from '../core/telemetry/start-channels.ts'
import {livePath} from '../http/own-paths.ts'
import type {MessageCheck} from '../transcoding/checks/check.ts'
import type {MetadataOptions} from '../transcoding/metadata.ts'
import type {Binding} from '../transcoding/rules/bindings.ts'
import {readSchema} from '../transcoding/schema/schema.ts'
import {createTranscoder, type Transcoder} from '../transcoding/transcoder.ts'
import {leftOut} from './exposure.ts'
import {metadataOptions} from './metadata.ts'
import {readRules} from './rules-file.ts'
import {validationOf} from './validation.ts'

/** The path of the OpenAPI document. */
export const documentPath = '/openapi.json'

/** A google.protobuf.FileDescriptorSet with all imports, as a file's path or as bytes, or a registry of protobuf-es. */
export type Schema = string | Uint8Array | FileRegistry

/** A loaded schema. */
export interface Loaded {
  readonly transcoder: Transcoder
  /** Timeout of a call, in ms, by `package.Service/Method`. */
  readonly deadlines: ReadonlyMap<string, number>
  /** Gives the check for the request messages of a method. */
  checkOf(method: DescMethod): MessageCheck | undefined
  /** Lines for the log. */
  readonly notes: readonly string[]
}

/**
 * Loads the transcoder for the configured schema, or else for `schema`.
 * @param taken paths whose requests never get here, because another function of the instance handles them
 * @throws {ConfigError} with a line for each rule that cannot be served, unless GATEWAY_UNSERVABLE is `warn`
 */
export function loadTranscoder(
  config: GatewayConfig,
  schema: Schema | undefined,
  {taken = [], proofs}: {readonly taken?: readonly string[]; readonly proofs?: MetadataOptions['proofs']} = {},
): Loaded {
  const {descriptors, services, defaultBindings} = config
  const leaveOut = config.unservable === 'warn'
  const paths = new Set([documentPath, livePath, ...taken])
  const {maxBodyValues: maxValues, maxBodyBytes: maxMessageBytes} = config
  const metadata = {...metadataOptions(config), proofs}
  const given = descriptors ?? schema
  if (given === undefined)
    throw new ConfigError('GATEWAY_DESCRIPTORS is not set: expected a file with a FileDescriptorSet')
  const path = typeof given === 'string' ? given : 'schema'
  const orRefuse = <T>(make: () => T) => {
    try {
      return make()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new ConfigError(`GATEWAY_DESCRIPTORS="${path}": expected a FileDescriptorSet: ${why}`)
    }
  }
  const registry = orRefuse(() => registryOf(given))
  refuseUnknownServices(registry, services ?? [])
  const rules = config.rules === undefined ? undefined : readRules(config.rules, registry)
  const checkOf = validationOf(registry, config)
  const transcoder = orRefuse(() =>
    createTranscoder({
      ...config,
      schema: registry,
      refuse: (binding) => problemOf(binding, paths),
      rules: undefined,
      ...(rules && {
        rules: rules.http,
        apis: rules.apis,
        ...(rules.fullyDecode && config.pathDecoding !== 'first' && {pathDecoding: 'all' as const}),
      }),
      ...{maxValues, maxMessageBytes, metadata, leaveOut, checkOf},
    }),
  )
  const problems = [...(rules?.problems ?? []), ...transcoder.problems]
  schemaChannel.publish({...transcoder, problems})
  const isEmpty = transcoder.bindings.length === 0
  if (problems.length > 0 && (isEmpty || !leaveOut)) throw new ConfigError(problems.join('\n'))
  if (transcoder.cursors.problems.length > 0) throw new ConfigError(transcoder.cursors.problems.join('\n'))
  if (isEmpty) throw nothingServed(path, registry, {services, defaultBindings})
  const notes = [...(rules?.notes ?? []), ...leftOut(problems)]
  return {transcoder, checkOf, deadlines: rules?.deadlines ?? new Map(), notes}
}

function nothingServed(
  path: string,
  registry: FileRegistry,
  {services, defaultBindings}: Pick<GatewayConfig, 'services' | 'defaultBindings'>,
) {
  const asked = services ? `GATEWAY_SERVICES="${services}"` : `GATEWAY_DESCRIPTORS="${path}"`
  const ask =
    'methods without one are served with GATEWAY_DEFAULT_BINDINGS=true, or where GATEWAY_SERVICES names theirs'
  const expected = {
    true: 'a method',
    false: 'a google.api.http rule, as GATEWAY_DEFAULT_BINDINGS is false',
    undefined: services ? 'a method' : `a google.api.http rule: ${ask}`,
  }[`${defaultBindings}`]
  const others = services ? `. ${listed(servicesOf(registry))}` : ''
  return new ConfigError(`${asked}: expected a service with at least ${expected}${others}`)
}

/** @throws {ConfigError} with a line for each of `services` that the schema does not have */
function refuseUnknownServices(registry: FileRegistry, services: readonly string[]): void {
  const known = servicesOf(registry)
  const lines = services
    .filter((name) => !known.includes(name))
    .map((name) => `GATEWAY_SERVICES: there is no service "${name}": ${suggestion(name, known)} ${listed(known)}`)
  if (lines.length > 0) throw new ConfigError(lines.join('\n'))
}

/**
 * Refuses the URL of a service that is neither in the served schema nor in `own`, the schema of the other functions.
 * @throws {ConfigError} with a line for each such BACKEND_URL_<SERVICE>
 */
export function refuseUnknownBackends({registry}: Transcoder, {ownBackends}: Config, own: Schema | undefined): void {
  const known = servicesOf(registry)
  const hasNone = (services: readonly string[]) => {
    const named = new Set(services.map(upperSnake))
    return (name: string) => !named.has(name)
  }
  let unknown = ownBackends.filter(hasNone(known))
  // Read only if needed: it is a large file.
  if (unknown.length > 0 && own !== undefined) unknown = unknown.filter(hasNone(servicesOf(registryOf(own))))
  const variables = known.map((service) => `BACKEND_URL_${upperSnake(service)}`)
  const lines = unknown
    .map((service) => `BACKEND_URL_${service}`)
    .map((name) => `${name} is for no service of the schema: ${suggestion(name, variables)} ${listed(known)}`)
  if (lines.length > 0) throw new ConfigError(lines.join('\n'))
}

/**
 * Refuses names of methods in AUTH_* that are neither in the served schema nor in `own`, the schema of the other functions: a misspelt
 * name would have no effect.
 * @throws {ConfigError} with a line for each such name
 */
export function refuseUnknownMethods(transcoder: Transcoder, {auth}: Config, own: Schema | undefined): void {
  const {registry} = transcoder
  refusePathsOfMethods(transcoder, auth)
  const named = namedIn(auth)
  if (named.length === 0) return
  const known = namesIn(registry)
  let unknown = named.filter(({name}) => !known.includes(name))
  if (unknown.length > 0 && own !== undefined) {
    const others = namesIn(registryOf(own))
    unknown = unknown.filter(({name}) => !others.includes(name))
  }
  const lines = unknown.map(
    ({variable, name}) => `${variable}: there is no service or method "${name}": ${suggestion(name, known)}`,
  )
  if (lines.length > 0) throw new ConfigError(lines.join('\n'))
}

/** Refuses paths of methods in AUTH_*: such a path would not cover the method's other paths. @throws {ConfigError} with a line for each */
function refusePathsOfMethods({bindings}: Transcoder, {open, webhooks}: Config['auth']): void {
  const named = [
    ...open.map((path) => ['AUTH_PUBLIC', path] as const),
    ...webhooks.map(({target}) => ['AUTH_WEBHOOK', target] as const),
  ]
  const lines = named.flatMap(([variable, path]) => {
    const {method} = bindings.find((binding) => literalPath(binding) === path) ?? {}
    return method ? [`${variable}: "${path}" is a path of ${pathOf(method).slice(1)}: expected the method itself`] : []
  })
  if (lines.length > 0) throw new ConfigError(lines.join('\n'))
}

/** The names of all services, and of their methods. */
function namesIn(registry: FileRegistry): string[] {
  return [...registry.files].flatMap(({services}) =>
    services.flatMap(({typeName, methods}) => [typeName, ...methods.map(({name}) => `${typeName}/${name}`)]),
  )
}

function registryOf(schema: Schema): FileRegistry {
  if (typeof schema === 'string') return readSchema(readFileSync(schema))
  return schema instanceof Uint8Array ? readSchema(schema) : schema
}

function servicesOf(registry: FileRegistry): string[] {
  return [...registry.files].flatMap(({services}) => services.map(({typeName}) => typeName)).sort()
}

function suggestion(name: string, known: readonly string[]): string {
  return known.length > 0 ? `did you mean ${nearest(name, known)}?` : ''
}

/** Lists the first `most` services. */
function listed(services: readonly string[], most = 50): string {
  const more = services.length > most ? ` and ${services.length - most} more` : ''
  return `The schema has ${services.slice(0, most).join(', ') || 'no service'}${more}`
}

/**
 * The reason why no request would reach `binding`: its only path is one of `paths`, or Node does not support its HTTP method. Undefined
 * for a rule with a wildcard, which still gets all other paths that it matches.
 */
function problemOf(binding: Binding, paths: ReadonlySet<string>): string | undefined {
  const path = literalPath(binding)
  if (path !== undefined && paths.has(path)) {
    return `"${path}" is a path of the functions themselves: expected another one`
  }
  const {httpMethod} = binding
  if (isServed(httpMethod)) return undefined
  return `no request can have the method ${httpMethod}: expected one that Node's HTTP server supports`
}

/** The only path that the binding's template matches; undefined if it matches several. */
function literalPath({template: {segments, verb}}: Binding): string | undefined {
  let path = ''
  for (const segment of segments) {
    if (segment.kind !== 'literal') return undefined
    path += `/${segment.text}`
  }
  return `${path}${verb && `:${verb}`}`
}

const methods: ReadonlySet<string> = new Set(METHODS)

/** Whether requests of this HTTP method reach the handler. Node refuses unknown methods, and does not pass on CONNECT. */
function isServed(httpMethod: string): boolean {
  return httpMethod === '*' || (httpMethod !== 'CONNECT' && methods.has(httpMethod))
}

import {readFileSync} from 'node:fs'
import {METHODS} from 'node:http'
import {join} from 'node:path'
import {ConfigError, type GatewayConfig} from '../core/config.ts'
import {type Binding, placeOf} from '../transcoding/rules/bindings.ts'
import {createTranscoder, type Transcoder} from '../transcoding/transcoder.ts'

/** Where the gateway describes what it serves. */
export const documentPath = '/openapi.json'

/**
 * The transcoder for the schema that is configured.
 * @throws {ConfigError} with a line for each rule that cannot be served
 */
export function loadTranscoder({descriptors, services, defaultBindings, ignoreUnknown}: GatewayConfig): Transcoder {
  const path = descriptors ?? join(import.meta.dirname, '../gen/descriptors.binpb')
  const made = (() => {
    try {
      return createTranscoder({schema: readFileSync(path), services, defaultBindings, ignoreUnknown})
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new ConfigError(`GATEWAY_DESCRIPTORS="${path}": expected a FileDescriptorSet: ${why}`)
    }
  })()
  const unserved = made.bindings.filter(({httpMethod}) => !isServed(httpMethod)).map(unservable)
  const problems = [...made.problems, ...unserved, ...problemsAt(made, [documentPath])]
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  if (made.bindings.length > 0) return made
  const asked = services ? `GATEWAY_SERVICES="${services}"` : `GATEWAY_DESCRIPTORS="${path}"`
  const wanted = defaultBindings ? 'a method' : 'a google.api.http rule, as GATEWAY_DEFAULT_BINDINGS is false'
  throw new ConfigError(`${asked}: wanted a service with at least ${wanted}`)
}

/**
 * Refuses rules for exactly one of `paths`, which no request would reach. A rule with a wildcard stays: it has all other
 * paths that it matches, as a literal goes before a wildcard among rules too.
 * @throws {ConfigError} with a line for each of them
 */
export function refuseRulesAt({bindings}: Transcoder, paths: readonly string[]): void {
  const problems = problemsAt({bindings}, paths)
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
}

function problemsAt({bindings}: Pick<Transcoder, 'bindings'>, paths: readonly string[]): string[] {
  return bindings
    .filter((binding) => paths.includes(literalPath(binding) ?? ''))
    .map((binding) => {
      const place = `${placeOf(binding.method)}: ${binding.rule}`
      return `${place}: "${literalPath(binding)}" is a path of the functions themselves: expected another one`
    })
}

/** The one path that the binding's template matches; undefined when there are others. */
function literalPath({template: {segments, verb}}: Binding): string | undefined {
  if (verb) return undefined
  const texts = segments.map((segment) => (segment.kind === 'literal' ? segment.text : undefined))
  return texts.includes(undefined) ? undefined : `/${texts.join('/')}`
}

/** Whether requests of this method reach us: Node reads no others, and keeps CONNECT from its request listeners. */
function isServed(httpMethod: string): boolean {
  return httpMethod === '*' || (httpMethod !== 'CONNECT' && METHODS.includes(httpMethod))
}

function unservable({method, rule, httpMethod}: Binding): string {
  return `${placeOf(method)}: ${rule}: no request can have the method ${httpMethod}: wanted one that Node's HTTP server takes`
}

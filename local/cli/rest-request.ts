import {
  type DescField,
  type DescMethod,
  type FileRegistry,
  type JsonObject,
  type JsonValue,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {ConfigError, readConfig} from '../../src/core/config.ts'
import {readRules} from '../../src/gateway/rules-file.ts'
import {messageFromJson} from '../../src/transcoding/json/message.ts'
import type {Binding} from '../../src/transcoding/rules/bindings.ts'
import {createTranscoder, type Transcoder} from '../../src/transcoding/transcoder.ts'
import type {HttpRequest} from './call-http.ts'
import {CommandError} from './output.ts'

/**
 * Makes the HTTP request for `method`, by the first of its rules that matches the message.
 * @param texts the JSON of each message, of which the first one gives path and query
 * @throws {CommandError} when no rule matches
 */
export async function requestsFor(
  method: DescMethod,
  registry: FileRegistry,
  texts: AsyncIterable<string>,
): Promise<HttpRequest> {
  const name = `${method.parent.typeName}/${method.name}`
  const {bindings, route} = transcoderOf(registry)
  const own = bindings.filter((binding) => binding.method === method)
  if (own.length === 0) {
    throw new CommandError(
      `${name} is not served over HTTP: npx grpc-functions routes says why, and --backend calls it without HTTP`,
      2,
    )
  }
  const messages = jsonOf(method, registry, texts)[Symbol.asyncIterator]()
  const first = await messages.next()
  const message = first.done ? {} : first.value
  const problems: string[] = []
  for (const binding of own) {
    try {
      const made = requestBy(binding, message)
      const match = route(made.verb, made.path.split('?')[0]!)
      if (!('binding' in match) || match.binding !== binding) throw new Error(`${made.path} is for another rule`)
      return {...made, body: binding.body === undefined ? undefined : bodies(binding, first, messages)}
    } catch (error) {
      problems.push(`${binding.rule}: ${(error as Error).message}`)
    }
  }
  throw new CommandError(`No rule of ${name} accepts this message:\n${problems.join('\n')}`, 2)
}

/** The transcoder that the gateway would have with this environment. @throws {CommandError} for an invalid environment */
function transcoderOf(registry: FileRegistry): Transcoder {
  try {
    const {gateway} = readConfig(process.env)
    const {rules: file, ...config} = gateway
    const rules = file === undefined ? undefined : readRules(file, registry)
    return createTranscoder({
      ...config,
      ...{schema: registry, metadata: undefined, leaveOut: true},
      ...(rules && {
        rules: rules.http,
        apis: rules.apis,
        ...(rules.fullyDecode && config.pathDecoding !== 'first' && {pathDecoding: 'all' as const}),
      }),
    })
  } catch (error) {
    throw error instanceof ConfigError ? new CommandError(error.message) : error
  }
}

/** Converts each message to canonical JSON. @throws {Fault} for malformed messages */
async function* jsonOf(method: DescMethod, registry: FileRegistry, texts: AsyncIterable<string>) {
  for await (const text of texts) {
    const message = messageFromJson(method.input, text, {registry, ignoreUnknown: false})
    yield toJson(method.input, message, {registry}) as JsonObject
  }
}

function requestBy(binding: Binding, message: JsonObject): HttpRequest {
  const {method, httpMethod, body} = binding
  const rest = structuredClone(message)
  const path = pathOf(binding, rest)
  if (typeof body === 'object') delete rest[body.jsonName]
  const query = body === '*' ? [] : pairsOf('', rest)
  const isStream = method.methodKind !== 'unary'
  const verb = httpMethod === '*' ? (body ? 'POST' : 'GET') : httpMethod
  return {verb, path: query.length > 0 ? `${path}?${new URLSearchParams(query)}` : path, isStream}
}

/** The path. Its variables are removed from `message`. @throws {Error} for a variable without a value */
function pathOf(
  {template: {segments, variables, verb}, method, variables: fields}: Binding,
  message: JsonObject,
): string {
  const parts: string[] = []
  for (let at = 0; at < segments.length; at++) {
    const segment = segments[at]!
    const variable = variables.find(({start}) => start === at)
    if (variable) {
      const text = taken(message, jsonPath(method, variable.path)) || zeroOf(fields[variables.indexOf(variable)]!)
      if (text === '') throw new Error(`"${variable.path}" has no value`)
      parts.push(variable.multi ? text.split('/').map(encodeURIComponent).join('/') : encodeURIComponent(text))
      at = variable.end - 1
    } else if (segment.kind === 'literal') parts.push(encodeURIComponent(segment.text))
    else throw new Error(`"${segment.kind}" stands for any segment`)
  }
  return `/${parts.join('/')}${verb && `:${verb}`}`
}

/** The text of a field's zero value, which JSON leaves out; '' for a field that may be unset, or whose zero value is no segment. */
function zeroOf({parents, field}: {readonly parents: readonly unknown[]; readonly field: DescField}): string {
  if (parents.length > 0 || field.presence !== FeatureSet_FieldPresence.IMPLICIT) return ''
  if (field.enum) return field.enum.values[0]!.jsonName
  if (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return ''
  return field.scalar === ScalarType.BOOL ? 'false' : '0'
}

function jsonPath({input}: DescMethod, path: string): string[] {
  let message: DescMethod['input'] | undefined = input
  return path.split('.').map((name) => {
    const field: DescMethod['input']['fields'][number] | undefined = message?.fields.find((one) => one.name === name)
    message = field?.message
    return field?.jsonName ?? name
  })
}

/** Removes the value at `path` from `json` and returns it: '' if there is none. */
function taken(json: JsonObject, [name = '', ...more]: readonly string[]): string {
  const value = json[name]
  if (more.length > 0) return isObject(value) ? taken(value, more) : ''
  delete json[name]
  return value === undefined || value === null ? '' : String(value)
}

/** The query parameters for `json`. @throws {Error} for values that a query cannot contain */
function pairsOf(prefix: string, json: JsonObject): [string, string][] {
  return Object.entries(json).flatMap(([name, value]): [string, string][] => {
    const path = prefix + name
    if (Array.isArray(value)) {
      if (value.some((item) => typeof item === 'object')) throw new Error(`"${path}" cannot be in a query`)
      return value.map((item) => [path, String(item)])
    }
    if (isObject(value)) return pairsOf(`${path}.`, value)
    return value === null ? [] : [[path, String(value)]]
  })
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The body for each message: all fields that are not in the path, or the body's field. */
async function* bodies(
  binding: Binding,
  first: IteratorResult<JsonObject>,
  messages: AsyncIterator<JsonObject>,
): AsyncGenerator<string> {
  for (let next = first; !next.done; next = await messages.next()) {
    const rest = structuredClone(next.value)
    for (const {path} of binding.template.variables) taken(rest, jsonPath(binding.method, path))
    yield JSON.stringify(typeof binding.body === 'object' ? (rest[binding.body.jsonName] ?? {}) : rest)
  }
}

import type {JsonValue} from '@bufbuild/protobuf'

/** A rule as a client reads it from http.proto's comments. */
export interface ClientRule {
  template: string
  body: string
}

export interface ClientRequest {
  path: string
  query: string
  body: string | undefined
}

type Fields = Record<string, JsonValue>

/**
 * The HTTP request for a message given as proto3 JSON with proto names: what the template names goes into the path,
 * the body takes its field or all that is left, and the rest is the query. It knows nothing of the code under test.
 */
export function encode({template, body}: ClientRule, message: Fields): ClientRequest {
  const rest = structuredClone(message)
  const path = template.replace(/\{([^}=]+)(?:=([^}]+))?\}/g, (_, name: string, pattern = '*') => {
    const value = String(take(rest, name.split('.')))
    return pattern === '*' ? encodeURIComponent(value) : value.split('/').map(encodeURIComponent).join('/')
  })
  if (body === '*') return {path, query: '', body: JSON.stringify(rest)}
  const sent = body === '' ? undefined : rest[body]
  if (body !== '') delete rest[body]
  const query = [...flatten(rest, '')].map(([name, value]) => `${encodeURIComponent(name)}=${escaped(value)}`).join('&')
  return {path, query, body: sent === undefined ? undefined : JSON.stringify(sent)}
}

function take(fields: Fields, names: string[]): JsonValue {
  const [name = '', ...below] = names
  const value = fields[name]
  if (value === undefined) throw new Error(`the message has no "${name}", which the path needs`)
  if (below.length > 0) return take(value as Fields, below)
  delete fields[name]
  return value
}

/** A space is a "+" or "%20": both are sent, the one for words and the other for the rest. */
function escaped(value: string): string {
  return value.includes('  ') ? encodeURIComponent(value) : encodeURIComponent(value).replaceAll('%20', '+')
}

function* flatten(value: JsonValue, path: string): Iterable<[name: string, value: string]> {
  if (Array.isArray(value)) for (const item of value) yield* flatten(item, path)
  else if (typeof value === 'object' && value !== null) {
    for (const [name, below] of Object.entries(value)) yield* flatten(below, path === '' ? name : `${path}.${name}`)
  } else yield [path, String(value)]
}

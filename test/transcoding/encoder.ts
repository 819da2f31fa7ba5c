import type {JsonValue} from '@bufbuild/protobuf'

/** A rule, as a client reads it in the comments of http.proto. */
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
 * The HTTP request for a message given as proto3 JSON with proto names: fields of the template go into the path, the body gets
 * its field or all other fields, and the rest is the query. It shares no code with the code under test.
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

/** A space may be "+" or "%20", and both are tested: "%20" for values with two spaces in a row, "+" for the others. */
function escaped(value: string): string {
  return value.includes('  ') ? encodeURIComponent(value) : encodeURIComponent(value).replaceAll('%20', '+')
}

function* flatten(value: JsonValue, path: string): Iterable<[name: string, value: string]> {
  if (Array.isArray(value)) for (const item of value) yield* flatten(item, path)
  else if (typeof value === 'object' && value !== null) {
    for (const [name, below] of Object.entries(value)) yield* flatten(below, path === '' ? name : `${path}.${name}`)
  } else yield [path, String(value)]
}

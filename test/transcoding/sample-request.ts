import {
  type Content,
  type OneofChoice,
  type OpenApiDocument,
  type Operation,
  type Parameter,
  pathMethods,
  type Schema,
} from '../../src/transcoding/openapi/document.ts'

/** A request that is valid by an OpenAPI document. */
export interface SampleRequest {
  operationId: string
  /** The variant of its operation's request: `minimal`, `full as application/json`, `answered as text/event-stream`. */
  variant: string
  method: string
  /** With the query. */
  path: string
  headers: Record<string, string>
  body: string | Uint8Array<ArrayBuffer> | undefined
}

export interface SampleOptions {
  /** Values that a backend requires, by the last name of a parameter or property: `{email: 'ann@example.com'}`. */
  values?: Record<string, unknown>
}

/**
 * Valid requests for every operation of `document`, made only from the document, as a generated client would: one with the
 * required fields, one with all fields for each type of the body, and one for each other type of the answer.
 */
export function sampleRequests(document: OpenApiDocument, options: SampleOptions = {}): SampleRequest[] {
  const sampler = new Sampler(document, options.values ?? {})
  return operationsOf(document).flatMap(({path, method, operation}) => [...sampler.requests(path, method, operation)])
}

/** Every operation of `document`, with its HTTP method in capitals. */
export function operationsOf({paths}: OpenApiDocument): {path: string; method: string; operation: Operation}[] {
  return Object.entries(paths).flatMap(([path, item]) => {
    const known = pathMethods.flatMap((method) => (item[method] ? [[method, item[method]] as const] : []))
    const all = [...known, ...Object.entries(item['x-additional-operations'] ?? {})]
    return all.map(([method, operation]) => ({path, method: method.toUpperCase(), operation}))
  })
}

type Extent = 'minimal' | 'full'

/** A body, and the Content-Type that belongs to it. */
interface Body {
  type: string
  body: string | Uint8Array<ArrayBuffer>
}

/** Names and values as in a form: an array is repeated. */
type Pair = [name: string, value: unknown, schema: Schema]

const boundary = 'sample-boundary'
const deepest = 4

class Sampler {
  readonly #document: OpenApiDocument
  readonly #values: Record<string, unknown>

  constructor(document: OpenApiDocument, values: Record<string, unknown>) {
    this.#document = document
    this.#values = values
  }

  *requests(path: string, method: string, operation: Operation): Iterable<SampleRequest> {
    const {operationId, requestBody, parameters = [], responses} = operation
    const response = responses[200]
    const accepts = Object.keys((response && 'content' in response && response.content) || {})
    const request = (variant: string, extent: Extent, body?: Body, accept = '*/*'): SampleRequest => ({
      operationId,
      variant,
      method,
      path: this.#path(path, parameters, extent),
      headers: {accept, ...(body && {'content-type': body.type})},
      body: body?.body,
    })
    const [first] = Object.keys(requestBody?.content ?? {})
    const least = requestBody?.required ? this.#body(requestBody.content, first!, 'minimal') : undefined
    yield request('minimal', 'minimal', least)
    if (!requestBody) yield request('full', 'full', undefined, accepts[0])
    for (const type of Object.keys(requestBody?.content ?? {})) {
      yield request(`full as ${type}`, 'full', this.#body(requestBody!.content, type, 'full'), accepts[0])
    }
    for (const accept of accepts.slice(1)) yield request(`answered as ${accept}`, 'minimal', least, accept)
  }

  #path(template: string, parameters: readonly Parameter[], extent: Extent): string {
    let path = template
    const query: Pair[] = []
    const taken: OneofChoice = {}
    for (const parameter of parameters) {
      const {name, schema} = parameter
      if (!parameter.required && extent === 'minimal') continue
      if (!take(taken, parameter['x-oneof'])) continue
      const value = this.#value(name, schema, extent, 0)
      if (parameter.in === 'path') path = path.replace(`{${name}}`, encodeURIComponent(String(value)))
      else query.push([name, value, schema])
    }
    return query.length > 0 ? `${path}?${urlEncoded(query)}` : path
  }

  #body(content: Content, type: string, extent: Extent): Body {
    const {schema} = content[type]!
    if (type === 'application/x-www-form-urlencoded') return {type, body: urlEncoded(this.#pairs(schema, extent))}
    if (type === 'multipart/form-data') {
      return {type: `${type}; boundary=${boundary}`, body: multipart(this.#pairs(schema, extent))}
    }
    if (type === '*/*') return {type: 'application/octet-stream', body: Uint8Array.of(0xff, 0)}
    const value = this.#value('', schema, extent, 0)
    if (type !== 'application/x-ndjson') return {type, body: JSON.stringify(value)}
    return {type, body: (value as unknown[]).map((item) => `${JSON.stringify(item)}\n`).join('')}
  }

  #pairs({properties = {}, required = []}: Schema, extent: Extent): Pair[] {
    const taken: OneofChoice = {}
    return Object.entries(properties)
      .filter(([name]) => extent === 'full' || required.includes(name))
      .filter(([, schema]) => take(taken, schema['x-oneof']))
      .map(([name, schema]) => [name, this.#value(name, schema, extent, 0), schema])
  }

  #value(name: string, given: Schema, extent: Extent, depth: number): unknown {
    const own = this.#values[name.slice(name.lastIndexOf('.') + 1)]
    if (own !== undefined) return own
    const schema = given.$ref ? this.#resolve(given.$ref) : given
    if (schema.examples) return schema.examples[0]
    if (schema.enum) return extent === 'full' ? schema.enum.at(-1) : schema.enum[0]
    if (schema.anyOf) return this.#value(name, schema.anyOf[0]!, extent, depth)
    const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0]
    if (type === 'object') return this.#object(schema, extent, depth)
    if (type === 'array') return depth > deepest ? [] : [this.#value(name, schema.items!, extent, depth + 1)]
    return plain[type ?? 'string']
  }

  #object(schema: Schema, extent: Extent, depth: number): unknown {
    const {properties = {}, required = [], additionalProperties, propertyNames = {}} = schema
    const excluded = excludedBy(schema)
    const chosen = Object.entries(properties).filter(
      ([name]) => required.includes(name) || (extent === 'full' && depth < deepest && !excluded.has(name)),
    )
    const object = Object.fromEntries(
      chosen.map(([name, property]) => [name, this.#value(name, property, extent, depth + 1)]),
    )
    if (typeof additionalProperties === 'object' && extent === 'full' && depth < deepest) {
      const key = String(this.#value('', {type: 'string', ...propertyNames}, extent, depth))
      object[key] = this.#value('', additionalProperties, extent, depth + 1)
    }
    return object
  }

  #resolve(reference: string): Schema {
    const name = reference.replace('#/components/schemas/', '')
    const schema = this.#document.components.schemas[name]
    if (!schema) throw new Error(`the document has no "${reference}"`)
    return schema
  }
}

const plain = {string: 'x1', boolean: true, integer: 1, number: 1.5, null: null} as const

/** Of the properties that exclude each other, all but the first. */
function excludedBy({allOf = [], oneOf}: Schema): Set<string> {
  const groups = [oneOf, ...allOf.map((schema) => schema.oneOf)].filter((group) => group !== undefined)
  return new Set(groups.flatMap((group) => group.flatMap(({required = []}) => required).slice(1)))
}

/** Whether a parameter may be set together with those before it. If so, it occupies its oneofs. */
function take(taken: OneofChoice, choice: OneofChoice = {}): boolean {
  if (Object.entries(choice).some(([oneof, member]) => (taken[oneof] ?? member) !== member)) return false
  Object.assign(taken, choice)
  return true
}

function flat([name, value, schema]: Pair): Pair[] {
  return Array.isArray(value) ? value.map((item) => [name, item, schema.items ?? {}]) : [[name, value, schema]]
}

function urlEncoded(pairs: readonly Pair[]): string {
  return pairs
    .flatMap(flat)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`)
    .join('&')
}

function multipart(pairs: readonly Pair[]): Uint8Array<ArrayBuffer> {
  const parts = pairs.flatMap(flat).map(([name, value, {contentMediaType}]) => {
    const file = contentMediaType ? `; filename="sample"\r\ncontent-type: ${contentMediaType}` : ''
    return `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`
  })
  return new TextEncoder().encode(`${parts.join('')}--${boundary}--\r\n`)
}

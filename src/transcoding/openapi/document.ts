/**
 * An OpenAPI 3.1 document. Hand-written, not from openapi-types, so that only the parts that we write have types, and our `x-` keywords
 * have types as well.
 */
export interface OpenApiDocument {
  openapi: '3.1.1'
  info: {title: string; version: string; description?: string}
  servers: {url: string}[]
  security?: Record<string, string[]>[]
  tags: Tag[]
  paths: Record<string, PathItem>
  components: {
    schemas: Record<string, Schema>
    parameters: Record<string, Parameter>
    responses: Record<string, Response>
    securitySchemes?: Record<string, SecurityScheme>
  }
}

/** A way to authenticate a caller. */
export type SecurityScheme =
  | {readonly type: 'http'; readonly scheme: string}
  | {readonly type: 'apiKey'; readonly in: string; readonly name: string}
  | {readonly type: 'openIdConnect'; readonly openIdConnectUrl: string}

export interface Tag {
  name: string
  description?: string
}

export interface Reference {
  $ref: string
}

/** The HTTP methods that a path item has a member for. */
export const pathMethods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const
type PathMethod = (typeof pathMethods)[number]

export type PathItem = {
  parameters?: (Parameter | Reference)[]
  /** Operations of other HTTP methods, by method; `additionalOperations` in OpenAPI 3.2. */
  'x-additional-operations'?: Record<string, Operation>
} & {[Method in PathMethod]?: Operation}

export interface Operation {
  tags: string[]
  summary?: string
  description?: string
  operationId: string
  deprecated?: boolean
  parameters?: Parameter[]
  requestBody?: RequestBody
  responses: Record<string, Response | Reference>
  /** An empty list allows calls without credentials. */
  security?: Record<string, string[]>[] | undefined
  /** The full name of the gRPC method. */
  'x-grpc-method': string
}

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
  description?: string
  required?: boolean
  deprecated?: boolean
  schema: Schema
  /** The field that a path parameter sets, or sets a part of, as a path of proto names: `body.name`. */
  'x-grpc-field'?: string
  /** Whether a path parameter may span many segments, with slashes that are not escaped. */
  'x-multi-segment'?: boolean
  'x-oneof'?: OneofChoice
}

/**
 * The oneofs that a parameter belongs to, and the member of each that it sets. Parameters with different members of one oneof exclude
 * each other.
 */
export type OneofChoice = Record<string, string>

export interface RequestBody {
  description?: string
  required?: boolean
  content: Content
}

export interface Response {
  description: string
  headers?: Record<string, {description: string; schema: Schema}>
  content?: Content
}

export type Content = Record<string, {schema: Schema}>

type JsonType = 'null' | 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'object'

/** A schema of JSON Schema 2020-12. */
export interface Schema {
  $ref?: string
  type?: JsonType | readonly JsonType[]
  format?: string
  description?: string
  deprecated?: boolean
  default?: unknown
  examples?: readonly unknown[]
  const?: unknown
  enum?: readonly unknown[]
  minimum?: number
  maximum?: number
  minLength?: number
  pattern?: string
  contentEncoding?: string
  contentMediaType?: string
  contentSchema?: Schema
  items?: Schema
  properties?: Record<string, Schema>
  propertyNames?: Schema
  additionalProperties?: boolean | Schema
  required?: readonly string[]
  dependentRequired?: Record<string, readonly string[]> | undefined
  allOf?: readonly Schema[]
  anyOf?: readonly Schema[]
  oneOf?: readonly Schema[]
  not?: Schema
  $defs?: Record<string, Schema>
  /** Only in forms, whose fields are named by paths as parameters are. */
  'x-oneof'?: OneofChoice
}

/** `entries` in the order of their keys, so that one schema always gives one document. */
export function sorted<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([left], [right]) => (left < right ? -1 : 1)))
}

/** `object` without members that are undefined, false or empty, which mean the same as absent ones. `additionalProperties` is kept. */
export function withoutEmpty<T extends object>(object: T): T {
  const says = ([name, value]: [string, unknown]) => !isEmpty(value) || (name === closing && value === false)
  return Object.fromEntries(Object.entries(object).filter(says)) as T
}

const closing = 'additionalProperties' satisfies keyof Schema

function isEmpty(value: unknown): boolean {
  return value === undefined || value === false || value === '' || (Array.isArray(value) && value.length === 0)
}

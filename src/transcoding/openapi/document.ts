/**
 * An OpenAPI 3.1 document, as far as this project writes one. By hand, not from openapi-types: only what we
 * write has a type, and so have our `x-` keywords.
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

/** How a caller proves who it is. */
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

/** The HTTP methods that a path item has a place for. */
export const pathMethods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const
type PathMethod = (typeof pathMethods)[number]

export type PathItem = {
  parameters?: (Parameter | Reference)[]
  /** By HTTP method, the ones that OpenAPI 3.1 has no place for; in 3.2 it is called `additionalOperations`. */
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
  /** Empty: anybody may call it. */
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
  /** The path of fields, by their proto names, that a path parameter sets all of or a part of: `body.name`. */
  'x-grpc-field'?: string
  /** Whether a path parameter may span many segments: its slashes are sent as they are. */
  'x-multi-segment'?: boolean
  'x-oneof'?: OneofChoice
}

/**
 * The oneofs that a parameter has a part in, and which of their members it sets. Two parameters that name one oneof with
 * two members exclude each other.
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
  /** In forms alone, whose fields are named by paths as parameters are. */
  'x-oneof'?: OneofChoice
}

/** `entries` in the order of their keys, so that one schema always gives one document. */
export function sorted<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([left], [right]) => (left < right ? -1 : 1)))
}

/** `object` without what is undefined, false or empty: an absent keyword says the same, `additionalProperties` excepted. */
export function withoutEmpty<T extends object>(object: T): T {
  const says = ([name, value]: [string, unknown]) => !isEmpty(value) || (name === closing && value === false)
  return Object.fromEntries(Object.entries(object).filter(says)) as T
}

const closing = 'additionalProperties' satisfies keyof Schema

function isEmpty(value: unknown): boolean {
  return value === undefined || value === false || value === '' || (Array.isArray(value) && value.length === 0)
}

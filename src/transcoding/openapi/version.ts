import type {
  Content,
  OpenApiDocument,
  Operation,
  PathItem,
  Reference,
  RequestBody,
  Response,
  Schema,
} from './document.ts'
import {pathMethods} from './document.ts'

/** Sequential media types: OpenAPI 3.2 gives them a schema for each item. */
const sequential: ReadonlySet<string> = new Set(['application/x-ndjson', 'text/event-stream'])

interface Media32 {
  readonly schema?: Schema
  readonly itemSchema?: Schema
}

type With32<T> = Omit<T, 'content'> & {readonly content?: Readonly<Record<string, Media32>>}

interface Operation32 extends Omit<Operation, 'requestBody' | 'responses'> {
  readonly requestBody?: With32<RequestBody>
  readonly responses: Readonly<Record<string, With32<Response> | Reference>>
}

type PathItem32 = Pick<PathItem, 'parameters'> & {
  additionalOperations?: Readonly<Record<string, Operation32>>
} & Partial<Record<(typeof pathMethods)[number], Operation32>>

/** An OpenAPI 3.2 document. */
export interface OpenApiDocument32 extends Omit<OpenApiDocument, 'openapi' | 'paths'> {
  readonly openapi: '3.2.0'
  readonly paths: Readonly<Record<string, PathItem32>>
}

/** Converts `document` to OpenAPI 3.2, which has schemas for the items of streams, and operations of any HTTP method. */
export function inVersion32(document: OpenApiDocument): OpenApiDocument32 {
  const paths = Object.entries(document.paths).map(([path, item]) => [path, pathItem(item)] as const)
  return {...document, openapi: '3.2.0', paths: Object.fromEntries(paths)}
}

function pathItem({parameters, 'x-additional-operations': others, ...operations}: PathItem): PathItem32 {
  const known = pathMethods.flatMap((method) => {
    const one = operations[method]
    return one ? [[method, operation(one)] as const] : []
  })
  const additional = Object.entries(others ?? {}).map(([method, one]) => [method, operation(one)] as const)
  return {
    ...(parameters && {parameters}),
    ...Object.fromEntries(known),
    ...(additional.length > 0 && {additionalOperations: Object.fromEntries(additional)}),
  }
}

function operation({requestBody, responses, ...rest}: Operation): Operation32 {
  const answers = Object.entries(responses).map(([status, one]) => [status, '$ref' in one ? one : withItems(one)])
  return {...rest, ...(requestBody && {requestBody: withItems(requestBody)}), responses: Object.fromEntries(answers)}
}

function withItems<T extends {content?: Content}>({content, ...rest}: T): With32<T> {
  if (!content) return rest
  const media = Object.entries(content).map(([type, one]) => [type, sequential.has(type) ? items(one.schema) : one])
  return {...rest, content: Object.fromEntries(media)}
}

function items(schema: Schema): Media32 {
  return schema.type === 'array' && schema.items ? {itemSchema: schema.items} : {schema}
}

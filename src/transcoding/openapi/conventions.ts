import type {Conventions} from '../conventions/conventions.ts'
import type {Cursor} from '../event-id.ts'
import type {Operation, Parameter, Response, Schema} from './document.ts'
import type {Placement} from './paths.ts'
import type {Schemas} from './schemas.ts'

/** Headers of an operation that stand for fields. */
export interface OperationConventions {
  readonly conventions: Conventions | undefined
  readonly cursor: Cursor | undefined
}

const etag = '(?:W/)?"[!#-~]+"'

/** `operation` with the headers that stand for some of its fields. */
export function withConventions(
  operation: Operation,
  {method}: Placement,
  {conventions, cursor}: OperationConventions,
  schemas: Schemas,
): Operation {
  const isGet = method === 'get' || method === 'HEAD'
  const parameters = [
    ...(conventions?.etagOf && isGet ? [ifNoneMatch] : []),
    ...(conventions?.ifMatch ? [ifMatch] : []),
    ...(cursor ? [lastEventId(cursor, schemas)] : []),
  ]
  const headers = {
    ...(conventions?.etagOf && {ETag: textHeader('The field `etag`.')}),
    ...(conventions?.nextPage && {
      Link: textHeader('The URL of the next page, with `rel="next"`; absent on the last page.'),
    }),
  }
  const answer = operation.responses[200] as Response
  const responses = {
    ...operation.responses,
    200: withHeaders(answer, headers),
    ...(conventions?.locationOf && {
      201: withHeaders(
        {...answer, description: 'What was made.'},
        {...headers, Location: textHeader('The path of the created resource.')},
      ),
    }),
    ...(conventions?.etagOf && isGet && {304: withHeaders({description: 'What `If-None-Match` names.'}, headers)}),
    ...(conventions?.ifMatch && {412: {$ref: '#/components/responses/error'}}),
  }
  const all = [...(operation.parameters ?? []), ...parameters]
  return {...operation, ...(all.length > 0 && {parameters: all}), responses}
}

function withHeaders(response: Response, headers: NonNullable<Response['headers']>): Response {
  return Object.keys(headers).length > 0 ? {...response, headers} : response
}

function textHeader(description: string): {description: string; schema: Schema} {
  return {description, schema: {type: 'string'}}
}

const ifNoneMatch: Parameter = {
  name: 'If-None-Match',
  in: 'header',
  description: 'Etags that the caller has. If the resource has one of them, the response is 304 without a body.',
  schema: {type: 'string', pattern: `^(?:\\*|${etag}(?:, ?${etag})*)$`},
}

const ifMatch: Parameter = {
  name: 'If-Match',
  in: 'header',
  description:
    'The etag that the resource must have; sets the field `etag` of the request. If the resource has another one, the response is 412.',
  schema: {type: 'string', pattern: `^(?:\\*|${etag})$`},
}

function lastEventId({after}: Cursor, schemas: Schemas): Parameter {
  const text = schemas.text(after.field)
  return {
    name: 'Last-Event-ID',
    in: 'header',
    description: `The id of the last event that the client has received. It replaces \`${after.name}\` in the request.`,
    // In an id, characters that a header cannot hold are percent-encoded.
    schema: isAnyText(text) ? {type: 'string', pattern: '^[!-$&-~]*$'} : text,
  }
}

function isAnyText({type, enum: values, format, pattern, contentEncoding}: Schema): boolean {
  return type === 'string' && !values && !format && !pattern && !contentEncoding
}

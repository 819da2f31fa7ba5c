import {type DescField, ScalarType} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {isPlainMessage, isTextual} from '../fields/fields.ts'
import {type BodyReader, offered, unaryTypes} from '../media.ts'
import {bodyReaderOf} from '../requests.ts'
import {answersRaw} from '../responses.ts'
import type {Binding} from '../rules/bindings.ts'
import {commentOf} from './comments.ts'
import {type Content, type RequestBody, type Response, type Schema, withoutEmpty} from './document.ts'
import {closedBy, isFile, type TextField, textFields} from './fields.ts'
import {choice, exclusion, isRequired, isRequiredIn} from './parameters.ts'
import {atMostOneOfEach, nullable, type Schemas} from './schemas.ts'
import {binarySchema} from './values.ts'

/** The request body of an operation; undefined for an operation without one. */
export function requestBodyOf(binding: Binding, schemas: Schemas): RequestBody | undefined {
  const reader = bodyReaderOf(binding)
  return reader && bodies[reader](binding, schemas)
}

/** The response to a successful request. */
export function responseOf(binding: Binding, schemas: Schemas): Response {
  const isStream = binding.method.methodKind === 'server_streaming' || binding.method.methodKind === 'bidi_streaming'
  const response = answersRaw(binding)
    ? rawAnswer
    : isStream
      ? streamAnswer(binding, schemas)
      : answer(binding, schemas)
  // The response to a HEAD has no body.
  return binding.httpMethod === 'HEAD' ? {description: response.description} : response
}

const bodies = {
  raw: () => ({description: 'Any bytes, passed on with their Content-Type.', content: {'*/*': {schema: binarySchema}}}),
  message: (binding, schemas) => {
    const schema = bodySchema(binding, schemas)
    const content = {'application/json': {schema}, ...formsOf(binding, schemas)}
    return withoutEmpty({required: needsBody(binding), description: bodyComment(binding), content})
  },
  stream: (binding, schemas) => {
    const schema = {type: 'array', items: bodySchema(binding, schemas)} as const
    return {
      description: lines(
        'Messages, read as they arrive: one JSON value a line, or the items of one JSON array.',
        bodyComment(binding),
      ),
      // OpenAPI 3.2 too models both as an array of what is sent. JSON is first, because many tools use the first or know only JSON.
      content: {'application/json': {schema}, 'application/x-ndjson': {schema}},
    }
  },
} as const satisfies Record<BodyReader, (binding: Binding, schemas: Schemas) => RequestBody>

function bodySchema(binding: Binding, schemas: Schemas): Schema {
  const {method, body} = binding
  const isWhole = body === '*' || !body
  const schema = isWhole
    ? schemas.messageWithout(method.input, closedBy(binding), '')
    : schemas.field(body, closedBy(binding), body.name)
  const desc = isWhole ? method.input : body.fieldKind === 'message' ? body.message : undefined
  // `Value` alone would also allow null, which is refused as a body.
  return desc?.typeName === 'google.protobuf.Value' ? {...schema, not: {type: 'null'}} : schema
}

/** Whether a body is required: an empty body is the empty message, which is valid unless a field of it is required. */
function needsBody(binding: Binding): boolean {
  const {method, body} = binding
  if (body && body !== '*') return isRequired(body, body.name)
  const closed = closedBy(binding)
  return method.input.fields.some((field) => isRequired(field, field.name) && !closed.has(field.name))
}

function bodyComment({body}: Binding): string {
  return body && body !== '*' ? commentOf(body) : ''
}

/** The forms of a request body, if it has fields that text can set: forms map to fields by name. */
function formsOf(binding: Binding, schemas: Schemas): Content {
  const form = formFields(binding, false)
  const multipart = formFields(binding, true)
  return {
    ...(form.length > 0 && {
      'application/x-www-form-urlencoded': {schema: schemas.closed(formSchema(form, (field) => schemas.text(field)))},
    }),
    ...(multipart.length > 0 && {
      'multipart/form-data': {schema: schemas.closed(formSchema(multipart, (field) => partSchema(field, schemas)))},
    }),
  }
}

function formFields(binding: Binding, files: boolean): TextField[] {
  const {method, body} = binding
  const closed = closedBy(binding)
  if (!body || body === '*') return textFields(method.input, {closed, prefix: '', files})
  if (isPlainMessage(body)) return textFields(body.message, {closed, prefix: `${body.name}.`, files})
  return isTextual(body) || (files && isFile(body)) ? [{name: body.jsonName, field: body, oneofs: {}}] : []
}

function formSchema(fields: readonly TextField[], schemaOf: (field: DescField) => Schema): Schema {
  const properties = fields.map(({name, field, oneofs}): [string, Schema] => {
    const schema = schemaOf(field)
    const description = lines(commentOf(field) || (schema.description ?? ''), exclusion(oneofs))
    return [name, withoutEmpty({...schema, description, deprecated: field.deprecated, 'x-oneof': choice(oneofs)})]
  })
  return withoutEmpty({
    type: 'object',
    properties: Object.fromEntries(properties),
    required: fields.filter(({field, name}) => isRequired(field, name)).map(({name}) => name),
    dependentRequired: requiredWith(fields),
    ...exclusive(fields),
  } satisfies Schema)
}

/** For each field, the required fields of the messages that become present when it is set. */
function requiredWith(fields: readonly TextField[]): Schema['dependentRequired'] {
  const below = fields.filter(({field, name}) => isRequiredIn(field) && name.includes('.')).map(({name}) => name)
  const entries = fields
    .map(({name}) => [name, below.filter((other) => other !== name && name.startsWith(messageOf(other)))] as const)
    .filter(([, names]) => names.length > 0)
  return entries.length > 0 ? Object.fromEntries(entries) : undefined
}

function messageOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.') + 1)
}

/** At most one member of each oneof. A member that is a message may be many fields of a form. */
function exclusive(fields: readonly TextField[]): Schema {
  const oneofs = new Map<string, Map<string, string[]>>()
  for (const {name, oneofs: chosen} of fields) {
    for (const [oneof, member] of Object.entries(chosen)) {
      const members = oneofs.get(oneof) ?? new Map<string, string[]>()
      oneofs.set(oneof, members.set(member, [...(members.get(member) ?? []), name]))
    }
  }
  return atMostOneOfEach([...oneofs.values()].map((members) => [...members.values()]))
}

function partSchema(field: DescField, schemas: Schemas): Schema {
  const isBytes = field.fieldKind !== 'map' && field.scalar === ScalarType.BYTES
  if (!isBytes && !isFile(field)) return schemas.text(field)
  return field.fieldKind === 'list' ? {type: 'array', items: binarySchema} : binarySchema
}

const rawAnswer: Response = {
  description: 'Any bytes, with their own Content-Type.',
  content: {'*/*': {schema: binarySchema}},
}

function answer(binding: Binding, schemas: Schemas): Response {
  const schema = answerSchema(binding, schemas)
  return {description: 'The answer.', content: Object.fromEntries(unaryTypes.map((type) => [type, {schema}]))}
}

function streamAnswer(binding: Binding, schemas: Schemas): Response {
  const items = answerSchema(binding, schemas)
  const {streamResults, streams} = schemas.dialect
  const result = {type: 'object', properties: {result: items}, required: ['result']} as const
  const schema = {type: 'array', items: streamResults ? result : items} as const
  const data = {type: 'string', contentMediaType: 'application/json', contentSchema: items} as const
  const event = {type: 'object', properties: {id: {type: 'string'}, event: {type: 'string'}, data}} as const
  const all = {
    'application/x-ndjson': {schema},
    'application/json': {schema},
    'text/event-stream': {schema: {type: 'array', items: event}},
  } as const
  return {
    description: [
      streams === 'lines'
        ? 'Messages, sent as they are made: one JSON value a line, or one event each; `Accept` chooses.'
        : 'Messages, sent as they are made: one JSON value a line, one JSON array, or one event each; `Accept` chooses.',
      'The last event is named `end`: a client that connects again with its id gets 204.',
      'A failure after the first of them ends the lines with `{"error": …}`, the events with one that is named `error`,',
      'and leaves the array open; each way the connection is reset, but for events of which no more will come.',
    ].join(' '),
    content: Object.fromEntries(offered[streams].map((type) => [type, all[type]])),
  }
}

function answerSchema({method, responseBody}: Binding, schemas: Schemas): Schema {
  if (!responseBody) return schemas.message(method.output)
  const schema = schemas.field(responseBody)
  const isSingular = responseBody.fieldKind !== 'list' && responseBody.fieldKind !== 'map'
  // An unset field with presence is null; one without presence has its zero value.
  return isSingular && responseBody.presence !== FeatureSet_FieldPresence.IMPLICIT ? nullable(schema) : schema
}

function lines(...texts: string[]): string {
  return texts.filter(Boolean).join('\n\n')
}

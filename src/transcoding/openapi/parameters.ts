import type {DescField} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {commentOf} from './comments.ts'
import {type OneofChoice, type Parameter, type Schema, withoutEmpty} from './document.ts'
import {closedBy, textFields} from './fields.ts'
import type {PathParameter, Placement} from './paths.ts'
import type {Schemas} from './schemas.ts'

/** The request headers that apply to every operation. */
export const headerParameters = {
  'x-request-id': {
    name: 'x-request-id',
    in: 'header',
    description: 'Identifies the request in the logs. Generated when it is not given, and returned in the response.',
    schema: {type: 'string'},
  },
  'x-server-timeout': {
    name: 'x-server-timeout',
    in: 'header',
    description:
      'Timeout in seconds, after which the response is 504. It can only shorten the timeout of the server. Less than 0.1 is accepted, but leaves no time for an answer.',
    schema: {type: 'number', minimum: 0.1, examples: [2.5]},
  },
} as const satisfies Record<string, Parameter>

/** The path and query parameters of an operation. */
export function parametersOf(placement: Placement, schemas: Schemas): Parameter[] {
  return [
    ...placement.parameters.map((parameter) => pathParameter(placement, parameter, schemas)),
    ...queryParameters(placement, schemas),
  ]
}

/** Describes variables that consist of literals, such as `{name=qm}`: they are no parameters. */
export function literalsOf({binding: {template, variables}}: Placement): string {
  return template.variables
    .map(({start, end}, index) => ({segments: template.segments.slice(start, end), name: variables[index]!.name}))
    .filter(({segments}) => segments.every(({kind}) => kind === 'literal'))
    .map(({segments, name}) => {
      const value = segments.map((segment) => (segment.kind === 'literal' ? segment.text : segment.kind)).join('/')
      return `The path sets \`${name}\` to "${value}".`
    })
    .join(' ')
}

function pathParameter(placement: Placement, parameter: PathParameter, schemas: Schemas): Parameter {
  const {binding} = placement
  const {name, variable, whole, multi} = parameter
  const many = multi && 'Any number of segments. Slashes are sent unescaped, not as "%2F".'
  const base = {name, in: 'path', required: true} as const
  if (variable === undefined) {
    const description = lines('Not part of the request message: any value is accepted.', many)
    return withoutEmpty({...base, description, schema: segmentSchema, 'x-multi-segment': multi})
  }
  const {field, name: fieldName} = binding.variables[variable]!
  const part = !whole && `A segment of \`${fieldName}\`, which is \`${spanOf(placement, variable)}\`.`
  return withoutEmpty({
    ...base,
    description: lines(part, commentOf(field), many),
    deprecated: field.deprecated,
    schema: whole ? filled(schemas.text(field)) : segmentSchema,
    'x-grpc-field': fieldName,
    'x-multi-segment': multi,
  })
}

/** The part of the rendered path that a variable spans. A `**` may span more than one segment. */
function spanOf({binding: {template}, path}: Placement, variable: number): string {
  const {start, end} = template.variables[variable]!
  const segments = path.slice(1, template.verb ? path.indexOf(':', path.lastIndexOf('/')) : undefined).split('/')
  const stretch = segments.length - template.segments.length
  const isAfter = (index: number) => template.rest >= 0 && template.rest < index
  return segments.slice(start + (isAfter(start) ? stretch : 0), end + (isAfter(end) ? stretch : 0)).join('/')
}

const filledMask = 'Defaults to the fields that are in the body.'

function queryParameters({binding}: Placement, schemas: Schemas): Parameter[] {
  const {method, body, updateMask} = binding
  if (body === '*') return []
  const closed = new Set(closedBy(binding))
  if (body) closed.add(body.name)
  return textFields(method.input, {closed, prefix: '', files: false}).map(({name, field, oneofs}) =>
    withoutEmpty({
      name,
      in: 'query',
      description: lines(commentOf(field), exclusion(oneofs), field === updateMask && filledMask),
      required: field !== updateMask && isRequired(field, name),
      deprecated: field.deprecated,
      schema: schemas.text(field),
      'x-oneof': choice(oneofs),
    } satisfies Parameter),
  )
}

/** Whether a field is always required: a required field (proto2) of the outermost message. */
export function isRequired(field: DescField, name: string): boolean {
  return isRequiredIn(field) && !name.includes('.')
}

/** Whether a field is required where its message is present (proto2). */
export function isRequiredIn(field: DescField): boolean {
  return field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED
}

export function choice(oneofs: OneofChoice): OneofChoice | undefined {
  return Object.keys(oneofs).length > 0 ? oneofs : undefined
}

/** Says in words that parameters exclude each other, for which OpenAPI has no keyword. */
export function exclusion(oneofs: OneofChoice): string {
  return Object.keys(oneofs)
    .map((oneof) => `At most one member of \`${oneof}\` may be set.`)
    .join(' ')
}

/** A wildcard does not match an empty segment. */
const segmentSchema: Schema = {type: 'string', minLength: 1}

function filled(schema: Schema): Schema {
  return schema.type === 'string' && !schema.enum ? {...schema, minLength: 1} : schema
}

function lines(...texts: (string | false)[]): string {
  return texts.filter(Boolean).join('\n\n')
}

import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from '@bufbuild/protobuf'
import {BinaryReader, WireType} from '@bufbuild/protobuf/wire'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import type {ToldBinding} from './routes.ts'

// Example requests for a schema: short ones, with the required fields and the first optional ones.

/** Limit for the optional fields of a message that are set. */
const mostFields = 3
/** Limit for the nesting of messages that are set. */
const mostLevels = 3

/** The arguments of curl for a request that matches `binding`. `{url}` stands for the URL of the functions. */
export function exampleOf(binding: ToldBinding): string {
  const {method, httpMethod, body} = binding
  const bound = new Set(binding.template.variables.map(({path}) => path))
  const {url, taken} = pathOf(binding)
  const verb = httpMethod === '*' ? (body ? 'POST' : 'GET') : httpMethod
  const content = bodyOf(binding, bound)
  const query = content === undefined && isSingle(method) ? queryOf(method.input, taken) : ''
  const implied = content === undefined ? 'GET' : 'POST'
  const words = [
    ...(verb === implied ? [] : verb === 'HEAD' ? ['-I'] : ['-X', verb]),
    ...(isStreamed(method) ? ['-N'] : []),
    ...(content === undefined ? [] : ['-H', quoted(`Content-Type: ${content.type}`), '-d', quoted(content.text)]),
    quoted(`{url}${url}${query}`),
  ]
  return words.join(' ')
}

function isSingle({methodKind}: ToldBinding['method']): boolean {
  return methodKind === 'unary' || methodKind === 'server_streaming'
}

function isStreamed({methodKind}: ToldBinding['method']): boolean {
  return methodKind === 'server_streaming' || methodKind === 'bidi_streaming'
}

/** Quotes a word for a POSIX shell, if needed. */
function quoted(text: string): string {
  return /^[\w./:{}@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** A path that matches the template, and the fields of its variables. */
function pathOf({template: {segments, variables, verb}, method}: ToldBinding): {url: string; taken: Set<string>} {
  const texts = segments.map((segment, at) => {
    if (segment.kind === 'literal') return encodeURIComponent(segment.text)
    const variable = variables.find(({start, end}) => start <= at && at < end)
    const field = variable && variable.end - variable.start === 1 ? fieldAt(method.input, variable.path) : undefined
    return encodeURIComponent(field ? String(textual(field)) : `${at + 1}`)
  })
  const taken = new Set(variables.map(({path}) => path.split('.')[0]!))
  return {url: `/${texts.join('/')}${verb && `:${verb}`}`, taken}
}

function fieldAt(desc: DescMessage, path: string): DescField | undefined {
  let message: DescMessage | undefined = desc
  let field: DescField | undefined
  for (const name of path.split('.')) {
    field = message?.fields.find((candidate) => candidate.name === name)
    message = field?.message
  }
  return field
}

interface Content {
  readonly type: string
  readonly text: string
}

function bodyOf({method, body}: ToldBinding, bound: ReadonlySet<string>): Content | undefined {
  if (body === undefined) return undefined
  const field = body === '*' ? undefined : method.input.fields.find(({name}) => name === body.name)
  const message = body === '*' ? method.input : field?.message
  if (message?.typeName === 'google.api.HttpBody') return {type: 'text/plain', text: 'hello'}
  const value = field ? jsonOf(field, 0) : messageJson(method.input, 0, bound)
  const text = JSON.stringify(value)
  if (isSingle(method)) return {type: 'application/json', text}
  return {type: 'application/x-ndjson', text: `${text}\n${text}`.replace('\n', ' ')}
}

/** A query with all required fields and the first two others that it can set. */
function queryOf(desc: DescMessage, taken: ReadonlySet<string>): string {
  const free = desc.fields.filter((field) => !taken.has(field.name) && isText(field))
  const chosen = chosenOf(free, 2)
  const pairs = chosen.map((field) => `${field.name}=${encodeURIComponent(String(textual(field)))}`)
  return pairs.length > 0 ? `?${pairs.join('&')}` : ''
}

/** Whether its value is a single text. */
function isText(field: DescField): boolean {
  return field.fieldKind === 'scalar' || field.fieldKind === 'enum' || isTextualMessage(field)
}

function isTextualMessage(field: DescField): boolean {
  return field.fieldKind === 'message' && typeof wellKnown(field.message) === 'string'
}

function textual(field: DescField): string | number | boolean {
  return jsonOf(field, 0) as string | number | boolean
}

/** Chooses the required fields, and up to `most` others, with one member of each oneof. */
function chosenOf(fields: readonly DescField[], most: number): DescField[] {
  const oneofs = new Set<unknown>()
  let others = 0
  return fields.filter((field) => {
    if (isOutputOnly(field)) return false
    if (field.oneof) {
      if (oneofs.has(field.oneof)) return false
      oneofs.add(field.oneof)
    }
    return isRequired(field) || others++ < most
  })
}

function messageJson(
  desc: DescMessage,
  level: number,
  bound: ReadonlySet<string> = new Set(),
  prefix = '',
): JsonObject {
  const json: JsonObject = {}
  for (const field of chosenOf(desc.fields, mostFields)) {
    const path = prefix + field.name
    if (bound.has(path)) continue
    const inner = [...bound].some((other) => other.startsWith(`${path}.`))
    if (level >= mostLevels && !isRequired(field)) continue
    json[field.jsonName] =
      inner && field.message ? messageJson(field.message, level + 1, bound, `${path}.`) : jsonOf(field, level)
  }
  return json
}

function jsonOf(field: DescField, level: number): JsonValue {
  switch (field.fieldKind) {
    case 'scalar':
      return scalarOf(field.scalar, field.name)
    case 'enum':
      return enumOf(field.enum)
    case 'message':
      return messageOf(field.message, level)
    case 'list': {
      if (field.listKind === 'message') return level < mostLevels ? [messageOf(field.message, level)] : []
      return [field.listKind === 'enum' ? enumOf(field.enum) : scalarOf(field.scalar, field.name)]
    }
    case 'map': {
      if (field.mapKind === 'message' && level >= mostLevels) return {}
      const key = String(scalarOf(field.mapKey, 'key'))
      if (field.mapKind === 'message') return {[key]: messageOf(field.message, level)}
      return {[key]: field.mapKind === 'enum' ? enumOf(field.enum) : scalarOf(field.scalar, 'value')}
    }
  }
}

function messageOf(desc: DescMessage, level: number): JsonValue {
  return wellKnown(desc) ?? messageJson(desc, level + 1)
}

function enumOf({values, typeName}: DescEnum): JsonValue {
  if (typeName === 'google.protobuf.NullValue') return null
  return (values.find(({number}) => number !== 0) ?? values[0]!).name
}

function scalarOf(type: ScalarType, name: string): JsonValue {
  switch (type) {
    case ScalarType.STRING:
      return /(^|_)(name|author|user|title|greeting|message|text)$/.test(name) ? 'Ada' : name
    case ScalarType.BYTES:
      return 'aGVsbG8='
    case ScalarType.BOOL:
      return true
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return 1.5
    default:
      return 1
  }
}

/** Example JSON of types with their own JSON form. */
function wellKnown({typeName}: DescMessage): JsonValue | undefined {
  const forms: Readonly<Record<string, JsonValue>> = {
    Timestamp: '2030-01-01T00:00:00Z',
    Duration: '1.5s',
    FieldMask: '*',
    Struct: {key: 'value'},
    Value: 'value',
    ListValue: ['value'],
    Empty: {},
    Any: {},
    StringValue: 'text',
    BytesValue: 'aGVsbG8=',
    BoolValue: true,
    DoubleValue: 1.5,
    FloatValue: 1.5,
    Int32Value: 1,
    UInt32Value: 1,
    Int64Value: '1',
    UInt64Value: '1',
  }
  return typeName.startsWith('google.protobuf.') ? forms[typeName.slice('google.protobuf.'.length)] : undefined
}

/** Number of the option of google/api/field_behavior.proto (AIP-203), which need not be in the schema. */
const fieldBehavior = 1052
const required = 2
const outputOnly = 3

function isRequired(field: DescField): boolean {
  return field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED || behaviorsOf(field).includes(required)
}

function isOutputOnly(field: DescField): boolean {
  return behaviorsOf(field).includes(outputOnly)
}

function behaviorsOf(field: DescField): number[] {
  return (field.proto.options?.$unknown ?? [])
    .filter(({no}) => no === fieldBehavior)
    .flatMap(({data, wireType}) => {
      const reader = new BinaryReader(data)
      const values: number[] = []
      if (wireType === WireType.LengthDelimited) reader.uint32()
      while (reader.pos < reader.len) values.push(reader.uint32())
      return values
    })
}

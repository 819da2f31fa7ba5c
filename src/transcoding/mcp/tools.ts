import type {DescMessage, DescMethod, FileRegistry} from '@bufbuild/protobuf'
import {MethodOptions_IdempotencyLevel as Level} from '@bufbuild/protobuf/wkt'
import {ownDialect} from '../../core/dialect.ts'
import {commentOf} from '../openapi/comments.ts'
import type {Schema} from '../openapi/document.ts'
import {Schemas} from '../openapi/schemas.ts'

/** A method and the name of its tool. */
export interface NamedMethod {
  readonly name: string
  readonly method: DescMethod
}

/** A method as a tool of the Model Context Protocol. */
export interface Tool extends NamedMethod {
  readonly description: string
  readonly inputSchema: Schema & {readonly type: 'object'}
  readonly outputSchema: Schema & {readonly type: 'object'}
  readonly annotations: {readonly readOnlyHint?: true; readonly idempotentHint?: true}
  /** Whether the request is wrapped in an argument `value`, because its JSON is not an object. */
  readonly wrapsInput: boolean
  /** Whether the answer is wrapped likewise. */
  readonly wrapsOutput: boolean
}

/**
 * The tools of `methods`, with the same schemas as in the OpenAPI document. Each schema is self-contained, with its references in
 * `$defs`. Expensive: keep the result.
 * @param options.refusesUnknown whether a request with fields that its messages do not have is refused
 */
export function toolsOf(
  methods: readonly NamedMethod[],
  registry: FileRegistry,
  {refusesUnknown}: {readonly refusesUnknown: boolean},
): readonly Tool[] {
  const answers = new Schemas(registry, {refusesUnknown, dialect: ownDialect})
  // Answers first: a message in both then keeps its plain name for the answer, and the request's schema is renamed.
  const outputs = methods.map(({method}) => answers.message(method.output))
  const requests = refusesUnknown ? new Schemas(registry, {refusesUnknown, answers, dialect: ownDialect}) : answers
  const inputs = methods.map(({method}) => requests.message(method.input))
  const components = requests.components()
  return methods.map(({name, method}, index) => {
    const input = rootOf(inputs[index]!, components)
    const output = rootOf(outputs[index]!, components)
    const isStream = method.methodKind === 'server_streaming'
    return {
      name,
      method,
      description: descriptionOf(method),
      inputSchema: complete(flat(input.schema, method.input), components),
      outputSchema: complete(isStream ? listOf(outputs[index]!) : output.schema, components),
      annotations: annotationsOf(method),
      wrapsInput: input.isWrapped,
      wrapsOutput: output.isWrapped,
    }
  })
}

type ObjectSchema = Schema & {readonly type: 'object'}
type Components = Readonly<Record<string, Schema>>

const pointer = '#/components/schemas/'

/** The schema of a message as arguments require it: an object at the root. */
function rootOf(schema: Schema, components: Components): {schema: ObjectSchema; isWrapped: boolean} {
  const root = schema.$ref?.startsWith(pointer) ? components[schema.$ref.slice(pointer.length)]! : schema
  if (root.type === 'object') return {schema: root as ObjectSchema, isWrapped: false}
  return {schema: {type: 'object', properties: {value: schema}, required: ['value']}, isWrapped: true}
}

/** APIs of models refuse `oneOf` and the like at the root of a schema, so the limit of one member of a oneof is put into the description. */
function flat({oneOf, allOf, anyOf, ...schema}: ObjectSchema, {oneofs}: DescMessage): ObjectSchema {
  if (!oneOf && !allOf && !anyOf) return schema
  const choices = oneofs
    .filter(({fields}) => fields.length > 1)
    .map(({fields}) => `At most one of ${fields.map(({jsonName}) => `\`${jsonName}\``).join(', ')}.`)
  return {...schema, description: [schema.description, ...choices].filter(Boolean).join('\n\n')}
}

function listOf(items: Schema): ObjectSchema {
  return {
    type: 'object',
    properties: {
      messages: {type: 'array', items},
      truncated: {type: 'boolean', description: 'Whether there were more messages than a result may hold.'},
    },
    required: ['messages'],
  }
}

/** `schema` with all that it refers to, directly or indirectly, in `$defs`. */
function complete(schema: ObjectSchema, components: Components): ObjectSchema {
  const found = new Map<string, Schema>()
  const local = <T extends Schema>(one: T): T => {
    const text = JSON.stringify(one).replace(/"\$ref":"#\/components\/schemas\/([^"]+)"/g, (_, name: string) => {
      add(name)
      return `"$ref":"#/$defs/${name}"`
    })
    return JSON.parse(text, withoutFormats) as T
  }
  const add = (name: string) => {
    if (found.has(name)) return
    // Reserved first: a message may contain itself.
    found.set(name, {})
    found.set(name, local(components[name]!))
  }
  const root = local(schema)
  return found.size > 0 ? {...root, $defs: Object.fromEntries(found)} : root
}

/** OpenAPI's formats, unknown to validators of arguments. They are dropped: the limits beside them say the same. */
const formats: ReadonlySet<unknown> = new Set(['int32', 'uint32', 'int64', 'uint64', 'float', 'double', 'byte'])

function withoutFormats(key: string, value: unknown): unknown {
  return key === 'format' && formats.has(value) ? undefined : value
}

function descriptionOf(method: DescMethod): string {
  const comment = commentOf(method) || `Calls ${method.parent.typeName}/${method.name}.`
  const deprecated = method.deprecated || method.parent.deprecated ? 'Deprecated.' : ''
  const stream =
    method.methodKind === 'server_streaming'
      ? 'Its messages are sent one by one as progress, and all together in the result.'
      : ''
  return [comment, stream, deprecated].filter(Boolean).join('\n\n')
}

function annotationsOf({idempotency}: DescMethod): Tool['annotations'] {
  if (idempotency === Level.NO_SIDE_EFFECTS) return {readOnlyHint: true, idempotentHint: true}
  return idempotency === Level.IDEMPOTENT ? {idempotentHint: true} : {}
}

import type {DescEnum, DescExtension, DescField, DescMessage, FileRegistry} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence, isWrapperDesc} from '@bufbuild/protobuf/wkt'
import type {Dialect} from '../../core/dialect.ts'
import {commentOf} from './comments.ts'
import {type Schema, sorted, withoutEmpty} from './document.ts'
import {integerSchemas, keySchemas, scalarSchemas, wellKnownSchemas} from './values.ts'

/** Fields that are left out of a schema, as paths of proto names from the schema's message on. */
export type Closed = ReadonlySet<string>

export interface SchemasOptions {
  /** Whether a request with fields that its messages do not have is refused. */
  refusesUnknown: boolean
  /** How answers are written. Requests are described in the same form. */
  dialect: Dialect
  /**
   * The schemas of answers, if these are the schemas of requests and unknown fields are refused. An answer may get more fields in the
   * future, a request may not have unknown ones, so a message that is in both has two schemas.
   */
  answers?: Schemas
}

/** The schemas of messages and enums in proto3 JSON. Each is made when first referred to, and stored under its full name. */
export class Schemas {
  readonly #components = new Map<string, Schema>()
  readonly #extensions = new Map<string, DescExtension[]>()
  readonly #registry: FileRegistry
  readonly #refusesUnknown: boolean
  readonly #answers: Schemas | undefined
  readonly dialect: Dialect

  constructor(registry: FileRegistry, {refusesUnknown, answers, dialect}: SchemasOptions) {
    this.dialect = dialect
    this.#registry = registry
    this.#refusesUnknown = refusesUnknown
    this.#answers = answers
    for (const desc of registry) {
      if (desc.kind !== 'extension') continue
      this.#extensions.set(desc.extendee.typeName, [...(this.#extensions.get(desc.extendee.typeName) ?? []), desc])
    }
  }

  /** All that have been referred to so far, those of the answers too. */
  components(): Record<string, Schema> {
    return sorted([...this.#components, ...Object.entries(this.#answers?.components() ?? {})])
  }

  /** Whether the message or enum of this name has been referred to. */
  has(name: string): boolean {
    return this.#components.has(name)
  }

  /** The schema of a message, as a body or nested in another message. */
  message(desc: DescMessage): Schema {
    if (isWrapperDesc(desc)) return this.#shared(scalarSchemas[desc.fields[0]!.scalar!])
    const wellKnown = this.#wellKnown(desc)
    if (wellKnown) return this.#refer(desc.typeName, () => wellKnown)
    const isInBoth = this.#answers?.has(desc.typeName)
    return this.#refer(isInBoth ? `${desc.typeName}-Input` : desc.typeName, () => this.#object(desc, none, ''))
  }

  /** As message(), without the fields of `closed`: a reference if there are none, else an inline schema. */
  messageWithout(desc: DescMessage, closed: Closed, prefix: string): Schema {
    const hasOwnForm = isWrapperDesc(desc) || wellKnownSchemas.has(desc.typeName)
    const isTouched = [...closed].some((path) => path.startsWith(prefix))
    return isTouched && !hasOwnForm ? this.#object(desc, closed, prefix) : this.message(desc)
  }

  /** The schema of a field's value, also for a field that is a `body` or `response_body`. */
  field(field: DescField | DescExtension, closed: Closed = none, path = ''): Schema {
    if (field.fieldKind === 'list') return {type: 'array', items: this.#item(field)}
    if (field.fieldKind !== 'map') {
      if (field.message) return this.messageWithout(field.message, closed, `${path}.`)
      return this.#item(field)
    }
    return withoutEmpty({
      type: 'object',
      propertyNames: this.#shared(keySchemas[field.mapKey]),
      additionalProperties: this.#item(field),
    } satisfies Schema)
  }

  /** The schema of a field as text in a path, a query or a form; an array of texts for a repeated field. */
  text(field: DescField): Schema {
    // A NullValue is null in JSON, but its name in text.
    if (!isNull(field)) return this.field(field)
    const item = {type: 'string', enum: ['NULL_VALUE']} as const
    return field.fieldKind === 'list' ? {type: 'array', items: item} : item
  }

  /** Forbids other properties in the schema of an object, if requests with unknown fields are refused. */
  closed(schema: Schema): Schema {
    return this.#answers && this.#refusesUnknown ? {...schema, additionalProperties: false} : schema
  }

  #item(field: DescField | DescExtension): Schema {
    if (field.message) return this.message(field.message)
    if (!field.enum) return this.#shared(scalarSchemas[field.scalar])
    if (isNull(field)) return {type: 'null'}
    const desc = field.enum
    return this.#refer(desc.typeName, () => enumSchema(desc, this.dialect.enums))
  }

  #wellKnown(desc: DescMessage): Schema | undefined {
    const schema = wellKnownSchemas.get(desc.typeName)
    if (desc.typeName === 'google.protobuf.Any') return {...schema, examples: [this.#anyExample()]}
    const isClosed = desc.typeName === 'google.protobuf.Empty' && this.#refusesUnknown
    return isClosed ? {...schema, additionalProperties: false} : schema
  }

  /** An example that shows which types may be in an Any. */
  #anyExample(): unknown {
    const names = [...this.#registry]
      .filter((desc) => desc.kind === 'message' && desc.fields.every(({presence}) => presence !== required))
      .map(({typeName}) => typeName)
      .filter((name) => !name.startsWith('google.'))
      .sort()
    return names[0] === undefined ? {} : {'@type': `type.googleapis.com/${names[0]}`}
  }

  #object(desc: DescMessage, closed: Closed, prefix: string): Schema {
    const fields = desc.fields.filter(({name}) => !closed.has(prefix + name))
    const extensions = this.#extensions.get(desc.typeName) ?? []
    const oneofs = desc.oneofs.map((oneof) =>
      fields.filter((field) => field.oneof === oneof).map((field) => [this.#nameOf(field)]),
    )
    const schema = withoutEmpty({
      type: 'object',
      description: commentOf(desc),
      deprecated: desc.deprecated,
      properties: {
        ...Object.fromEntries(fields.map((field) => [this.#nameOf(field), this.#property(field, closed, prefix)])),
        ...sorted(extensions.map((field) => [field.jsonName, this.#property(field, closed, prefix)] as const)),
      },
      required: fields.filter(({presence}) => presence === required).map((field) => this.#nameOf(field)),
      ...atMostOneOfEach(oneofs),
    } satisfies Schema)
    return this.closed(schema)
  }

  #nameOf({name, jsonName}: DescField): string {
    return this.dialect.fieldNames === 'proto' ? name : jsonName
  }

  /** Whether an answer has null where `field` is not set. */
  #isNullable(field: DescField | DescExtension): boolean {
    if (field.fieldKind === 'message' && isWrapperDesc(field.message)) return true
    if (this.dialect.zeroValues !== 'print-unset' || field.kind === 'extension' || field.oneof) return false
    return field.presence !== FeatureSet_FieldPresence.IMPLICIT && !field.proto.proto3Optional
  }

  #property(field: DescField | DescExtension, closed: Closed, prefix: string): Schema {
    const schema = this.field(field, closed, prefix + field.name)
    return withoutEmpty({
      ...(this.#isNullable(field) ? nullable(schema) : schema),
      // The field's own comment is more specific than that of its type.
      description: commentOf(field) || schema.description,
      deprecated: field.deprecated || schema.deprecated,
      default: defaultOf(field, this.dialect),
    } satisfies Schema)
  }

  /** Adds the component that `schema` refers to, if it is one of the integer schemas. */
  #shared<T extends Schema | undefined>(schema: T): T {
    const name = Object.keys(integerSchemas).find((key) => schema?.$ref?.endsWith(`/${key}`))
    if (name) this.#refer(name, () => integerSchemas[name as keyof typeof integerSchemas])
    return schema
  }

  #refer(name: string, make: () => Schema): Schema {
    if (!this.#components.has(name)) {
      // Reserved first: a message may contain itself.
      this.#components.set(name, {})
      this.#components.set(name, make())
    }
    return {$ref: `#/components/schemas/${name}`}
  }
}

/** `schema`, or null. */
export function nullable(schema: Schema): Schema {
  if (schema.anyOf) return {...schema, anyOf: [...schema.anyOf, {type: 'null'}]}
  if (typeof schema.type !== 'string' || schema.enum) return {anyOf: [schema, {type: 'null'}]}
  return schema.type === 'null' ? schema : {...schema, type: [schema.type, 'null']}
}

const none: Closed = new Set()

const required = FeatureSet_FieldPresence.LEGACY_REQUIRED

function isNull(field: DescField | DescExtension): boolean {
  return field.enum?.typeName === 'google.protobuf.NullValue'
}

/** At most one member of each oneof. A member is given by its properties. */
export function atMostOneOfEach(oneofs: readonly (readonly string[])[][]): Schema {
  const schemas = oneofs.filter(({length}) => length > 1).map(atMostOne)
  return schemas.length > 1 ? {allOf: schemas} : (schemas[0] ?? {})
}

/** Exactly one member, or none. */
function atMostOne(members: readonly (readonly string[])[]): Schema {
  const any = (names: readonly string[]) => names.map((name) => ({required: [name]}))
  const each = members.map((names) => (names.length === 1 ? any(names)[0]! : {anyOf: any(names)}))
  return {oneOf: [...each, {not: {anyOf: any(members.flat())}}]}
}

function enumSchema(desc: DescEnum, enums: Dialect['enums']): Schema {
  const isName = enums === 'name'
  const lines = desc.values
    .map(
      (value) => [value, [commentOf(value), value.deprecated ? 'Deprecated.' : ''].filter(Boolean).join(' ')] as const,
    )
    .filter(([, text]) => text !== '')
    .map(
      ([{jsonName, number}, text]) =>
        `- \`${isName ? jsonName : number}\`: ${isName ? '' : `\`${jsonName}\`. `}${text.replace(/\s+/g, ' ')}`,
    )
  return withoutEmpty({
    ...(isName
      ? {type: 'string' as const, enum: [...new Set(desc.values.map(({jsonName}) => jsonName))]}
      : {type: 'integer' as const, enum: [...new Set(desc.values.map(({number}) => number))]}),
    description: [commentOf(desc), lines.join('\n')].filter(Boolean).join('\n\n'),
    deprecated: desc.deprecated,
  } satisfies Schema)
}

/** The explicit default of a field (proto2 and editions). */
function defaultOf(field: DescField | DescExtension, {enums}: Dialect): unknown {
  if (!field.proto.defaultValue || field.fieldKind === 'list' || field.fieldKind === 'map') return undefined
  const value = field.getDefaultValue()
  if (field.enum) return enums === 'number' ? value : field.enum.value[value as number]?.jsonName
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return value instanceof Uint8Array ? undefined : value
}

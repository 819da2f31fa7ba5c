import type {DescEnum, DescExtension, DescField, DescMessage, FileRegistry} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence, isWrapperDesc} from '@bufbuild/protobuf/wkt'
import {commentOf} from './comments.ts'
import {type Schema, sorted, spare} from './document.ts'
import {keySchemas, scalarSchemas, wellKnownSchemas} from './values.ts'

/** Fields that are left out of a schema: their paths by proto names, from the message that the schema is of. */
export type Closed = ReadonlySet<string>

/** The schemas of messages and enums in proto3 JSON: each made once, under its full name, when first referred to. */
export class Schemas {
  readonly #components = new Map<string, Schema>()
  readonly #extensions = new Map<string, DescExtension[]>()
  readonly #registry: FileRegistry

  constructor(registry: FileRegistry) {
    this.#registry = registry
    for (const desc of registry) {
      if (desc.kind !== 'extension') continue
      this.#extensions.set(desc.extendee.typeName, [...(this.#extensions.get(desc.extendee.typeName) ?? []), desc])
    }
  }

  /** All that have been referred to so far. */
  components(): Record<string, Schema> {
    return sorted(this.#components)
  }

  /** A message, as a whole body or inside of another one. */
  message(desc: DescMessage): Schema {
    if (isWrapperDesc(desc)) return scalarSchemas[desc.fields[0]!.scalar!]
    return this.#refer(desc.typeName, () => this.#wellKnown(desc) ?? this.#object(desc, none, ''))
  }

  /** As message(), without the fields that are closed: by reference where there are none, else written out. */
  messageWithout(desc: DescMessage, closed: Closed, prefix: string): Schema {
    const hasOwnForm = isWrapperDesc(desc) || wellKnownSchemas.has(desc.typeName)
    const isTouched = [...closed].some((path) => path.startsWith(prefix))
    return isTouched && !hasOwnForm ? this.#object(desc, closed, prefix) : this.message(desc)
  }

  /** The value of a field: what `body` and `response_body` stand for. */
  field(field: DescField | DescExtension, closed: Closed = none, path = ''): Schema {
    if (field.fieldKind === 'list') return {type: 'array', items: this.#item(field)}
    if (field.fieldKind !== 'map') {
      if (field.message) return this.messageWithout(field.message, closed, `${path}.`)
      return this.#item(field)
    }
    return spare({
      type: 'object',
      propertyNames: keySchemas[field.mapKey],
      additionalProperties: this.#item(field),
    } satisfies Schema)
  }

  /** One piece of text in a path, a query or a form; an array of them for a repeated field. */
  text(field: DescField): Schema {
    // Where JSON has null, text has the name.
    if (!isNull(field)) return this.field(field)
    const item = {type: 'string', enum: ['NULL_VALUE']} as const
    return field.fieldKind === 'list' ? {type: 'array', items: item} : item
  }

  #item(field: DescField | DescExtension): Schema {
    if (field.message) return this.message(field.message)
    if (!field.enum) return scalarSchemas[field.scalar]
    if (isNull(field)) return {type: 'null'}
    const desc = field.enum
    return this.#refer(desc.typeName, () => enumSchema(desc))
  }

  #wellKnown(desc: DescMessage): Schema | undefined {
    const schema = wellKnownSchemas.get(desc.typeName)
    return desc.typeName === 'google.protobuf.Any' ? {...schema, examples: [this.#anyExample()]} : schema
  }

  /** What no reader could guess: which types may be in an Any. */
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
    const oneofs = desc.oneofs
      .map((oneof) => fields.filter((field) => field.oneof === oneof))
      .filter((members) => members.length > 1)
      .map(atMostOne)
    return spare({
      type: 'object',
      description: commentOf(desc),
      deprecated: desc.deprecated,
      properties: {
        ...Object.fromEntries(fields.map((field) => [field.jsonName, this.#property(field, closed, prefix)])),
        ...sorted(extensions.map((field) => [field.jsonName, this.#property(field, closed, prefix)] as const)),
      },
      required: fields.filter(({presence}) => presence === required).map(({jsonName}) => jsonName),
      ...(oneofs.length > 1 ? {allOf: oneofs} : oneofs[0]),
    } satisfies Schema)
  }

  #property(field: DescField | DescExtension, closed: Closed, prefix: string): Schema {
    const schema = this.field(field, closed, prefix + field.name)
    return spare({
      ...(field.fieldKind === 'message' && isWrapperDesc(field.message) ? nullable(schema) : schema),
      // A comment says more than the type that is referred to.
      description: commentOf(field) || schema.description,
      deprecated: field.deprecated || schema.deprecated,
      default: defaultOf(field),
    } satisfies Schema)
  }

  #refer(name: string, make: () => Schema): Schema {
    if (!this.#components.has(name)) {
      // Taken first: a message may hold itself.
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

/** Exactly one member, or none at all. */
function atMostOne(members: readonly DescField[]): Schema {
  const each = members.map(({jsonName}) => ({required: [jsonName]}))
  return {oneOf: [...each, {not: {anyOf: each}}]}
}

function enumSchema(desc: DescEnum): Schema {
  const lines = desc.values
    .map(
      (value) => [value, [commentOf(value), value.deprecated ? 'Deprecated.' : ''].filter(Boolean).join(' ')] as const,
    )
    .filter(([, text]) => text !== '')
    .map(([{jsonName}, text]) => `- \`${jsonName}\`: ${text.replace(/\s+/g, ' ')}`)
  return spare({
    type: 'string',
    enum: [...new Set(desc.values.map(({jsonName}) => jsonName))],
    description: [commentOf(desc), lines.join('\n')].filter(Boolean).join('\n\n'),
    deprecated: desc.deprecated,
  } satisfies Schema)
}

/** The default that proto2 and editions let a field have. */
function defaultOf(field: DescField | DescExtension): unknown {
  if (!field.proto.defaultValue || field.fieldKind === 'list' || field.fieldKind === 'map') return undefined
  const value = field.getDefaultValue()
  if (field.enum) return field.enum.value[value as number]?.jsonName
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return value instanceof Uint8Array ? undefined : value
}

import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  type Message,
  type Registry,
} from '@bufbuild/protobuf'
import type {FieldMask} from '@bufbuild/protobuf/wkt'
import {Fault} from '../core/fault.ts'
import {type FieldPath, fieldsOf, isPlainMessage, type MessageField} from './fields/fields.ts'

/** A field of type google.protobuf.FieldMask. */
export type MaskField = MessageField

/** The parts of a binding that decide about the mask. */
interface Rule {
  readonly httpMethod: string
  readonly method: DescMethod
  readonly body: undefined | '*' | DescField
  readonly variables: readonly FieldPath[]
}

/**
 * The update mask of a PATCH request (AIP-134): the field `update_mask`, or the only google.protobuf.FieldMask of the message. To a
 * backend, no mask means all fields, so it would erase those that the caller did not write. Undefined where the body is not one
 * message, or where the caller has to give the mask.
 */
export function updateMaskOf({httpMethod, method, body, variables}: Rule): MaskField | undefined {
  if (httpMethod !== 'PATCH' || typeof body !== 'object' || !isPlainMessage(body)) return undefined
  if (body.message.typeName === 'google.api.HttpBody') return undefined
  const masks = method.input.fields.filter(isMask)
  const mask = masks.find(({name}) => name === 'update_mask') ?? (masks.length === 1 ? masks[0] : undefined)
  // A read mask is about the answer (AIP-157).
  if (!mask || mask.oneof || mask.name === 'read_mask') return undefined
  return variables.some(({field, parents}) => field === mask && parents.length === 0) ? undefined : mask
}

function isMask(field: DescField): field is MaskField {
  return field.fieldKind === 'message' && field.message.typeName === 'google.protobuf.FieldMask'
}

/** Limit for all paths together, in characters: deeply nested paths are many times longer than the JSON that they come from. */
const maxLength = 256 * 1024

/** Collects the paths of the fields that a request's body writes: in proto names, relative to the body. */
export class WrittenPaths {
  readonly #mask: MaskField
  readonly #paths = new Set<string>()
  #length = 0

  /** @param mask the field that the paths are for */
  constructor(mask: MaskField) {
    this.#mask = mask
  }

  /**
   * Adds the paths that `value` writes: the unconverted JSON of a message of `desc`. Nested messages give nested paths. A `null` or an
   * empty message writes its field. A repeated field, a map or a type with its own JSON form is one path.
   * @throws {Fault} 400 for paths that are too long
   */
  addJson(desc: DescMessage, value: unknown, registry: Registry, prefix = ''): void {
    // The reader of the body refuses anything else.
    if (!isObject(value)) return
    for (const key of Object.keys(value)) {
      const field = fieldsOf(desc).get(key)
      const inner = value[key]
      if (!field) {
        if (isExtension(key, registry)) this.add(`${prefix}${key}`)
      } else if (isPlainMessage(field) && isObject(inner) && Object.keys(inner).length > 0) {
        this.addJson(field.message, inner, registry, `${prefix}${field.name}.`)
      } else this.add(`${prefix}${field.name}`)
    }
  }

  /** @throws {Fault} 400 for paths that are too long */
  add(path: string): void {
    if (this.#paths.has(path)) return
    this.#paths.add(path)
    this.#length += path.length
    if (this.#length <= maxLength) return
    throw Fault.invalid(
      'body',
      `Cannot make an update mask from the body: its paths have more than ${maxLength} characters. Give the mask in the query`,
    )
  }

  /** Puts the paths into the mask of `message`, unless the caller has given a mask. */
  fill(message: Message): void {
    const fields = message as unknown as Record<string, FieldMask | undefined>
    const {localName, message: desc} = this.#mask
    if (fields[localName]?.paths.length) return
    fields[localName] = create(desc, {paths: [...this.#paths]}) as FieldMask
  }
}

function isExtension(key: string, registry: Registry): boolean {
  return key.startsWith('[') && registry.getExtension(key.slice(1, -1)) !== undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

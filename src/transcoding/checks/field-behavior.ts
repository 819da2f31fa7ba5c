import {clearField, type DescField, type DescMessage, isFieldSet, type Message} from '@bufbuild/protobuf'
import {BinaryReader, WireType} from '@bufbuild/protobuf/wire'
import {FeatureSet_FieldPresence, type FieldMask} from '@bufbuild/protobuf/wkt'
import {fieldValue} from '../responses.ts'
import type {FieldName, Violation} from './check.ts'

/** The field number of the option `google.api.field_behavior`, and the values of it that matter for requests. */
const optionNumber = 1052
const requiredNumber = 2
const outputOnlyNumber = 3

/** The option's values for one field, read from bytes: in the options of a decoded schema it is an unknown field. */
function behaviorsOf(field: DescField): number[] {
  const values: number[] = []
  for (const {no, wireType, data} of field.proto.options?.$unknown ?? []) {
    if (no !== optionNumber) continue
    const reader = new BinaryReader(data)
    const end = wireType === WireType.LengthDelimited ? reader.uint32() + reader.pos : data.length
    while (reader.pos < end) values.push(reader.int32())
  }
  return values
}

/** The fields of a message that have the option. */
interface Plan {
  readonly required: readonly DescField[]
  readonly outputOnly: readonly DescField[]
  readonly inner: readonly DescField[]
}

/** Checks requests by AIP-203: REQUIRED fields must be set, OUTPUT_ONLY fields are dropped. */
export class FieldBehavior {
  readonly #plans = new Map<DescMessage, Plan>()

  /** Whether the option is on a field of `desc`. */
  static isOn(desc: DescMessage): boolean {
    return desc.fields.some((field) => field.proto.options?.$unknown?.some(({no}) => no === optionNumber))
  }

  /** Drops OUTPUT_ONLY fields. A REQUIRED field that is not set is a violation. */
  check(desc: DescMessage, message: Message, nameOf: FieldName): Violation[] {
    const violations: Violation[] = []
    const mask = maskOf(desc, message)
    const dropped: string[] = []
    /** @param names of the fields down to `message`, from the resource on where the request has a mask for one */
    const visit = (desc: DescMessage, message: Message, path: string, names: readonly string[] | undefined) => {
      const {required, outputOnly, inner} = this.#planOf(desc)
      for (const field of outputOnly) {
        if (isFieldSet(message, field) && names) dropped.push([...names, field.name].join('.'))
        clearField(message, field)
      }
      for (const field of required) {
        const isAsked = !mask || !names || mask.names([...names, field.name])
        if (isAsked && isEmpty(message, field)) {
          violations.push({field: `${path}${nameOf(field)}`, description: 'the field is required', reason: 'REQUIRED'})
        }
      }
      for (const field of inner) {
        if (!isFieldSet(message, field)) continue
        const below = names ? [...names, field.name] : []
        for (const [key, child] of childrenOf(message, field)) {
          visit(field.message!, child, `${path}${nameOf(field)}${key}.`, below)
        }
      }
    }
    visit(desc, message, '', undefined)
    mask?.drop(dropped)
    return violations
  }

  #planOf(desc: DescMessage): Plan {
    let plan = this.#plans.get(desc)
    if (!plan) {
      const behaviors = new Map(desc.fields.map((field) => [field, behaviorsOf(field)]))
      const having = (number: number) => desc.fields.filter((field) => behaviors.get(field)!.includes(number))
      plan = {
        // A oneof has one member set, and the caller chooses which one.
        required: having(requiredNumber).filter(({oneof}) => !oneof),
        outputOnly: having(outputOnlyNumber),
        inner: desc.fields.filter(({message}) => message !== undefined && !isOwnForm(message)),
      }
      this.#plans.set(desc, plan)
    }
    return plan
  }
}

function isOwnForm({typeName}: DescMessage): boolean {
  return typeName.startsWith('google.protobuf.')
}

/** Which fields of a resource an update writes. */
interface UpdateMask {
  /** Whether the mask names the field, given by its path of proto names, from the resource on. */
  names(field: readonly string[]): boolean
  /** Removes a dropped field, so that its empty value is not written. Never empties the mask: an empty mask means all fields. */
  drop(fields: readonly string[]): void
}

/**
 * The update mask of a request; undefined where the request has no field for one. An update writes only the fields that its mask
 * names (AIP-134), so only those of the resource are required.
 */
function maskOf(desc: DescMessage, message: Message): UpdateMask | undefined {
  const isMask = ({name, message}: DescField) =>
    name === 'update_mask' && message?.typeName === 'google.protobuf.FieldMask'
  const field = desc.fields.find(isMask)
  if (!field) return undefined
  const mask = fieldValue(message, field) as FieldMask | undefined
  const paths = (mask?.paths ?? []).map((path) => path.split('.'))
  const isAll = paths.some(([first, ...more]) => first === '*' && more.length === 0)
  return {
    names: (field) => isAll || paths.some((path) => path.every((name, index) => name === field[index])),
    drop(fields) {
      const isIn = (path: string) => fields.some((field) => path === field || path.startsWith(`${field}.`))
      const left = mask?.paths.filter((path) => !isIn(path)) ?? []
      if (mask && left.length > 0) mask.paths = left
    },
  }
}

/** AIP-203: a required field is present and not empty. A number or bool without presence may be zero on purpose, so it passes. */
function isEmpty(message: Message, field: DescField): boolean {
  if (isFieldSet(message, field)) return false
  if (field.fieldKind !== 'scalar' || field.presence !== FeatureSet_FieldPresence.IMPLICIT) return true
  const value = fieldValue(message, field)
  return typeof value === 'string' || value instanceof Uint8Array
}

function childrenOf(message: Message, field: DescField): [key: string, child: Message][] {
  const value = fieldValue(message, field)
  if (field.fieldKind === 'message') return [['', value as Message]]
  if (field.fieldKind === 'list') return (value as Message[]).map((child, index) => [`[${index}]`, child])
  return Object.entries(value as Record<string, Message>).map(([key, child]) => [`[${JSON.stringify(key)}]`, child])
}

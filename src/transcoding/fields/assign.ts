import {
  create,
  type DescField,
  type DescMessage,
  equals,
  isFieldSet,
  type Message,
  ScalarType,
} from '@bufbuild/protobuf'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import type {ValueCount} from '../value-count.ts'
import type {FieldPath, MessageField} from './fields.ts'
import {isLong, scalarTexts} from './scalars.ts'
import {messageText, wrappedText} from './well-known.ts'

/** A field and how to set it from text. Made once, used for each request. */
export interface FieldPlan extends FieldPath {
  /** The expected form of the text, for messages. */
  expected: string
  /** Parses the text to the value of the field, or of a list's item; undefined when the text is malformed. */
  read(text: string): unknown
  /** How many values beyond the first the text holds. */
  items?(text: string): number
}

/** How to set the field at `path` from text. Only for one that isTextual(). */
export function planOf(path: FieldPath): FieldPlan {
  return {...path, ...textOf(path.field)}
}

/** The source of a value: a parameter or path variable. */
export interface Origin {
  name: string
  /** Whether the body may have set the same value before. A path may repeat the body's value, but not change it. */
  mayRepeat: boolean
}

/** A field and its parsed value. Parsed once, also where every message of a stream gets it. */
export interface Assignment {
  readonly path: FieldPath
  readonly value: unknown
  readonly origin: Origin
  /** The key of the entry, where the field is a map. */
  readonly mapKey?: string
}

/**
 * Parses `text` for the field of `plan`. The caller has already counted one value.
 * @throws {Fault} 400 naming the origin, for a malformed value or too many values in one text
 */
export function assignmentOf(plan: FieldPlan, text: string, origin: Origin, count: ValueCount): Assignment {
  if (plan.items) count.add(plan.items(text))
  const value = plan.read(text)
  if (value !== undefined) return {path: plan, value, origin}
  throw Fault.invalid(origin.name, `Cannot set "${shortened(origin.name)}": expected ${plan.expected}`, {
    callerOnly: `, got "${shortened(text)}"`,
  })
}

/**
 * Sets a field of `message`. Creates and counts the messages on its path, also for a zero value (ProtoJSON).
 * @throws {Fault} 400 naming the origin, if the field has another value, another member of its oneof is set, or there are too many values
 */
export function put(
  message: Message,
  path: FieldPath,
  value: unknown,
  origin: Origin,
  count: ValueCount,
  mapKey?: string,
): void {
  let target = message
  for (const parent of path.parents) target = descend(target, parent, origin, count)
  const {field} = path
  if (field.fieldKind === 'list') {
    ;(local(target)[field.localName] as unknown[]).push(value)
    return
  }
  if (mapKey !== undefined) {
    const map = local(target)[field.localName] as object
    // The key may be "__proto__".
    Object.defineProperty(map, mapKey, {value, enumerable: true, writable: true, configurable: true})
    return
  }
  refuseOther(target, field, origin)
  if (origin.mayRepeat && isFieldSet(target, field)) refuseDifferent(target, field, value, origin)
  set(target, field, value)
}

/** As put(), but replaces an existing value or another member of the oneof. */
export function override(message: Message, {path, value, origin}: Assignment, count: ValueCount): void {
  let target: Message | undefined = message
  for (const field of [...path.parents, path.field]) {
    if (!target) break
    const choice = field.oneof && (local(target)[field.oneof.localName] as Choice)
    if (field.oneof && choice?.case !== field.localName) local(target)[field.oneof.localName] = {case: undefined}
    target = get(target, field) as Message | undefined
  }
  put(message, path, value, origin, count)
}

type Fields = Record<string, unknown>
type Choice = {case: string | undefined; value?: unknown}

function local(message: Message): Fields {
  return message as unknown as Fields
}

function get(message: Message, field: DescField): unknown {
  if (!field.oneof) return local(message)[field.localName]
  const choice = local(message)[field.oneof.localName] as Choice
  return choice.case === field.localName ? choice.value : undefined
}

function set(message: Message, field: DescField, value: unknown): void {
  if (field.oneof) local(message)[field.oneof.localName] = {case: field.localName, value}
  else local(message)[field.localName] = value
}

function descend(message: Message, field: MessageField, origin: Origin, count: ValueCount): Message {
  const child = get(message, field) as Message | undefined
  if (child) return child
  refuseOther(message, field, origin)
  count.add(1)
  count.addFieldsOf(field.message)
  const made = create(field.message)
  set(message, field, made)
  return made
}

function refuseOther(message: Message, field: DescField, {name}: Origin): void {
  if (!field.oneof) return
  const choice = local(message)[field.oneof.localName] as Choice
  if (choice.case === undefined || choice.case === field.localName) return
  const other = field.oneof.fields.find((member) => member.localName === choice.case)
  throw Fault.invalid(
    name,
    `Cannot set "${shortened(name)}": "${other?.name}" is set too, and oneof "${field.oneof.name}" takes one of them`,
  )
}

function refuseDifferent(message: Message, field: DescField, value: unknown, {name}: Origin): void {
  const there = get(message, field)
  if (same(field, there, value)) return
  throw Fault.invalid(name, `Cannot set "${shortened(name)}" from the path: the body gives it another value`)
}

function same(field: DescField, left: unknown, right: unknown): boolean {
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    return left.length === right.length && left.every((byte, index) => byte === right[index])
  }
  const isMessage = typeof left === 'object' && field.message !== undefined
  return isMessage ? equals(field.message, left as Message, right as Message) : Object.is(left, right)
}

type FieldText = Pick<FieldPlan, 'expected' | 'read' | 'items'>

const texts = new WeakMap<DescField, FieldText>()

function textOf(field: DescField): FieldText {
  const text = texts.get(field) ?? makeText(field)
  texts.set(field, text)
  return text
}

function makeText(field: DescField): FieldText {
  if (field.enum) return enumText(field.enum)
  if (field.message) return wellKnownText(field, field.message)
  const text = scalarTexts[field.scalar]
  const asString = field.fieldKind !== 'map' && field.longAsString && isLong(field.scalar)
  return asString ? {expected: text.expected, read: (value) => text.read(value)?.toString()} : text
}

/** Enums by name or number (ProtoJSON); a number that is unknown is kept where the enum is open. */
function enumText(desc: NonNullable<DescField['enum']>): FieldText {
  const numbers = new Map<string, number>()
  for (const {jsonName, number} of desc.values) numbers.set(jsonName, number)
  for (const {name, number} of desc.values) numbers.set(name, number)
  const int32 = scalarTexts[ScalarType.INT32]
  const read = (text: string) => {
    const number = numbers.get(text) ?? int32.read(text)
    return desc.open || desc.values.some((value) => value.number === number) ? number : undefined
  }
  return {expected: `a name or number of ${desc.typeName}`, read}
}

function wellKnownText(field: DescField, desc: DescMessage): FieldText {
  const text = messageText(desc)
  if (!text) throw new Error(`${field} has no text form`)
  // protobuf-es keeps the bare value of a wrapper, but for members of a oneof.
  return (!field.oneof && wrappedText(desc)) || text
}

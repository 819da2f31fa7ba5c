import type {DescField, DescMessage, Registry} from '@bufbuild/protobuf'
import {shortened} from '../../core/shortened.ts'
import {maxNesting} from '../json/text.ts'
import {LazyRegistry} from '../schema/lazy-registry.ts'
import {messageText} from './well-known.ts'

/** A field that holds one message. */
export type MessageField = DescField & {fieldKind: 'message'}

/** A field of a message or of a message nested in it. */
export interface FieldPath {
  /** The proto names from the outermost message to the field: `book.display_name`. */
  name: string
  parents: readonly MessageField[]
  field: DescField
}

/** Why a path leads to no field. The problem is printed after `"a.b": `. */
export interface NoField {
  problem: string
  /** Whether one of the names does not exist in its message. */
  unknown: boolean
}

const named = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>()

/** The fields of `desc` by proto name and by JSON name. */
export function fieldsOf(desc: DescMessage): ReadonlyMap<string, DescField> {
  let fields = named.get(desc)
  if (!fields) {
    const byJson = desc.fields.map((field) => [field.jsonName, field] as const)
    fields = new Map([...byJson, ...desc.fields.map((field) => [field.name, field] as const)])
    named.set(desc, fields)
  }
  return fields
}

const problems = new WeakMap<Registry, ReadonlyMap<DescMessage, readonly string[]>>()
const noProblems: ReadonlyMap<DescMessage, readonly string[]> = new Map()

/** Messages of `registry` with fields that protobuf-es or a caller would mistake for something else: one line for each field. */
export function fieldProblems(registry: Registry): ReadonlyMap<DescMessage, readonly string[]> {
  // An outline is made only of sets without such fields.
  if (registry instanceof LazyRegistry) return noProblems
  let found = problems.get(registry)
  if (!found) {
    const messages = [...registry].filter((desc) => desc.kind === 'message')
    found = new Map(messages.map((desc) => [desc, problemsOf(desc)] as const).filter(([, lines]) => lines.length > 0))
    problems.set(registry, found)
  }
  return found
}

function problemsOf(desc: DescMessage): string[] {
  const problems: string[] = []
  const names = new Set(desc.fields.map(({name}) => name))
  for (const field of desc.fields) {
    const place = `${desc.file.name}.proto: ${desc.typeName}.${field.name}`
    if (field.jsonName === '') problems.push(`${place}: it has no JSON name: expected a registry of readSchema()`)
    if (field.jsonName !== field.name && names.has(field.jsonName)) {
      problems.push(`${place}: its JSON name "${field.jsonName}" is the name of another field`)
    }
    // While the field is unset, protobuf-es would find Object.prototype's function under this name, and write to it.
    if (field.fieldKind === 'message' && !field.oneof && field.localName in Object.prototype) {
      problems.push(`${place}: "${field.localName}" is a property of every JavaScript object`)
    }
  }
  return problems
}

/** The field at `path`, starting from `desc`. Proto names and JSON names may be mixed. */
export function findField(desc: DescMessage, path: string): FieldPath | NoField {
  const parents: MessageField[] = []
  const names = path.split('.', maxNesting + 1)
  if (names.length > maxNesting) return {problem: `it nests deeper than ${maxNesting} levels`, unknown: false}
  const last = names.pop()!
  let message = desc
  for (const name of names) {
    const field = fieldsOf(message).get(name)
    if (!field) return unknown(message, name)
    if (!isPlainMessage(field)) return {problem: `"${name}" is ${kindOf(field)}, which has no fields`, unknown: false}
    parents.push(field)
    message = field.message
  }
  const field = fieldsOf(message).get(last)
  if (!field) return unknown(message, last)
  return {name: [...parents.map((parent) => parent.name), field.name].join('.'), parents, field}
}

/** Whether `field` holds one message whose fields can be set one by one, and not a well-known type with its own JSON form. */
export function isPlainMessage(field: DescField): field is MessageField {
  return field.fieldKind === 'message' && !hasOwnForm(field.message)
}

/** Whether `desc` has a JSON form of its own (ProtoJSON), rather than an object of its fields. */
export function hasOwnForm(desc: DescMessage): boolean {
  return ownForms.has(desc.typeName) || messageText(desc) !== undefined
}

/** Whether text can be a value of `field`, or of its items if it is a list. */
export function isTextual(field: DescField): boolean {
  if (field.fieldKind === 'list') return field.listKind !== 'message'
  if (field.fieldKind === 'message') return messageText(field.message) !== undefined
  return field.fieldKind !== 'map'
}

/** The kind of `field`, for messages. */
export function kindOf(field: DescField): string {
  if (field.fieldKind === 'map') return 'a map'
  if (field.fieldKind === 'list') return field.listKind === 'message' ? 'a repeated message' : 'a repeated field'
  if (field.fieldKind === 'message') return messageText(field.message) ? `a ${field.message.typeName}` : 'a message'
  return field.fieldKind === 'enum' ? 'an enum' : 'a scalar'
}

/** Well-known types whose JSON form is an object or an array, and not that of their fields. */
const ownForms = new Set(['Any', 'Struct', 'Value', 'ListValue'].map((name) => `google.protobuf.${name}`))

/** `desc` and all messages that it can contain, except those inside a `google.protobuf.Any`. */
export function reachable(desc: DescMessage, found = new Set<DescMessage>()): Set<DescMessage> {
  if (found.has(desc)) return found
  found.add(desc)
  for (const {message} of desc.fields) if (message) reachable(message, found)
  return found
}

function unknown(message: DescMessage, name: string): NoField {
  return {problem: `${message.typeName} has no field "${shortened(name)}"`, unknown: true}
}

import {isFieldSet} from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
} from '@bufbuild/protobuf/wkt'

/** A message or enum. */
interface Declared {
  readonly file: FileDescriptorProto
  readonly type: FieldDescriptorProto_Type
}

/** Files by name, with all imports. */
type Files = ReadonlyMap<string, FileDescriptorProto>

/**
 * Sorts the files so that each comes after those that it imports. In place, it resolves relative type names, which protobufjs writes,
 * and adds missing field types.
 * @param lacks throws the error for a type that no file declares
 */
export function link(files: Files, lacks: (type: string, file: FileDescriptorProto) => never): FileDescriptorProto[] {
  const declared = new Map<string, Declared>()
  for (const file of files.values()) declare(file, file.messageType, file.enumType, scopeOf(file), declared)
  const ordered = new Set<FileDescriptorProto>()
  const begun = new Set<FileDescriptorProto>()
  const add = (file: FileDescriptorProto) => {
    if (begun.has(file)) return
    begun.add(file)
    for (const name of file.dependency) add(files.get(name)!)
    for (const needed of resolveTypes(file, declared, lacks)) add(needed)
    ordered.add(file)
  }
  for (const file of files.values()) add(file)
  return [...ordered]
}

/** The scope of top-level declarations in `file`. Full names begin with a dot. */
function scopeOf(file: FileDescriptorProto): string {
  return file.package && `.${file.package}`
}

function declare(
  file: FileDescriptorProto,
  messages: readonly DescriptorProto[],
  enums: readonly {name: string}[],
  scope: string,
  declared: Map<string, Declared>,
): void {
  for (const {name} of enums) declared.set(`${scope}.${name}`, {file, type: FieldDescriptorProto_Type.ENUM})
  for (const {name, nestedType, enumType} of messages) {
    declared.set(`${scope}.${name}`, {file, type: FieldDescriptorProto_Type.MESSAGE})
    declare(file, nestedType, enumType, `${scope}.${name}`, declared)
  }
}

/** Replaces every type name in `file` by the full name. Returns the files that declare the types. */
function resolveTypes(
  file: FileDescriptorProto,
  declared: ReadonlyMap<string, Declared>,
  lacks: (type: string, file: FileDescriptorProto) => never,
): Set<FileDescriptorProto> {
  const needed = new Set<FileDescriptorProto>()
  const resolve = (name: string, scope: string) => {
    const full = name.startsWith('.') ? name : innermost(name, scope, declared)
    const {file: declaring, type} = declared.get(full) ?? lacks(name, file)
    needed.add(declaring)
    return {full, type}
  }
  for (const [field, scope] of fieldsOf(file)) {
    if (field.extendee) field.extendee = resolve(field.extendee, scope).full
    if (!field.typeName) continue
    const {full, type} = resolve(field.typeName, scope)
    field.typeName = full
    if (!isFieldSet(field, FieldDescriptorProtoSchema.field.type)) field.type = type
  }
  for (const method of file.service.flatMap((service) => service.method)) {
    method.inputType = resolve(method.inputType, scopeOf(file)).full
    method.outputType = resolve(method.outputType, scopeOf(file)).full
  }
  return needed
}

/** Every field and extension that `file` declares, with the scope in which its type's name is resolved. */
function* fieldsOf(file: FileDescriptorProto): Generator<[field: FieldDescriptorProto, scope: string]> {
  const scope = scopeOf(file)
  for (const extension of file.extension) yield [extension, scope]
  for (const message of file.messageType) yield* fieldsIn(message, scope)
}

function* fieldsIn(message: DescriptorProto, outer: string): Generator<[field: FieldDescriptorProto, scope: string]> {
  const scope = `${outer}.${message.name}`
  for (const field of message.field) yield [field, scope]
  for (const extension of message.extension) yield [extension, scope]
  for (const nested of message.nestedType) yield* fieldsIn(nested, scope)
}

/** A relative name is looked up from the innermost scope outwards, as in C++ (descriptor.proto). */
function innermost(name: string, scope: string, declared: ReadonlyMap<string, Declared>): string {
  for (let at = scope; at !== ''; at = at.slice(0, at.lastIndexOf('.'))) {
    if (declared.has(`${at}.${name}`)) return `${at}.${name}`
  }
  return `.${name}`
}

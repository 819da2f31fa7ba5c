import {
  clearField,
  clone,
  createFileRegistry,
  createRegistry,
  equals,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf'
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'
import {addJsonNames} from './json-names.ts'
import {LazyRegistry} from './lazy-registry.ts'
import {link} from './link.ts'
import {outlineOf} from './outline.ts'

/**
 * Reads the types of a google.protobuf.FileDescriptorSet from any source: a compiler, server reflection, or two sets joined by `cat`.
 * JSON names and field types may be missing, type names may be relative, and files may come in any order and more than once
 * (descriptor.proto). protobuf-es without this function accepts only the form that compilers write.
 * Files of a set from a compiler are decoded when they are first used, so `bytes` must not change later. All checks are made here.
 * @throws {Error} with one line for the operator: what the bytes are instead, or what the set lacks, and what to do
 * @example
 * const registry = readSchema(readFileSync('src/gen/descriptors.binpb'))
 * console.log(registry.getService('ping.PingService')?.methods.map(({name}) => name))
 */
export function readSchema(bytes: Uint8Array): FileRegistry {
  const outline = outlineOf(bytes)
  return outline ? new LazyRegistry(outline) : decodeSchema(bytes)
}

/** Reads all types of any set at once. @throws {Error} as readSchema() does */
export function decodeSchema(bytes: Uint8Array): FileRegistry {
  const set = parse(bytes)
  for (const file of set.file) file.messageType.forEach(addJsonNames)
  const files = distinct(set.file)
  refuseMissingImports(files)
  set.file = link(files, (name, file) => fail(`it lacks the type "${name}" (used in "${file.name}")`))
  return createFileRegistry(set)
}

function fail(what: string, cause?: unknown): never {
  const remedy = 'build the set with "buf build --as-file-descriptor-set -o all.binpb" or "protoc --include_imports"'
  throw new Error(`${what}: ${remedy}`, {cause})
}

function parse(bytes: Uint8Array): FileDescriptorSet {
  let set: FileDescriptorSet
  try {
    set = fromBinary(FileDescriptorSetSchema, bytes)
  } catch (cause) {
    return fail(formatOf(bytes) ?? `it is none (${(cause as Error).message})`, cause)
  }
  // Bytes of another kind may decode by accident, into unknown fields.
  const isSet = set.file.length > 0 ? set.file.every(({name}) => name !== '') : !set.$unknown?.length
  return isSet ? set : fail(formatOf(bytes) ?? 'it is none (it has no files with names)')
}

const commentsAndSpace = /^(?:\s+|\/\/[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/
const declaration = /^(?:syntax|edition|package|import|option|message|enum|service|extend)\b/

/** Names another format that is easily mistaken for a set. */
function formatOf(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return 'it is compressed with gzip'
  const text = new TextDecoder().decode(bytes)
  if (/^\s*\{/.test(text)) return 'it is JSON, not binary'
  if (declaration.test(text.replace(commentsAndSpace, ''))) return 'it is the source of a .proto, not compiled'
  return undefined
}

function distinct(files: readonly FileDescriptorProto[]): Map<string, FileDescriptorProto> {
  const byName = new Map<string, FileDescriptorProto>()
  for (const file of files) {
    const first = byName.get(file.name)
    if (!first) byName.set(file.name, file)
    else if (!isSame(first, file)) fail(`it has two different files "${file.name}"`)
  }
  return byName
}

function isSame(left: FileDescriptorProto, right: FileDescriptorProto): boolean {
  return equals(FileDescriptorProtoSchema, bare(left), bare(right), {unknown: true, registry: createRegistry()})
}

/** `file` without comments, and without buf's extension that marks imports. */
function bare(file: FileDescriptorProto): FileDescriptorProto {
  const copy = clone(FileDescriptorProtoSchema, file)
  clearField(copy, FileDescriptorProtoSchema.field.sourceCodeInfo)
  delete copy.$unknown
  return copy
}

function refuseMissingImports(files: ReadonlyMap<string, FileDescriptorProto>): void {
  const missing = new Map<string, string>()
  for (const {name, dependency} of files.values()) {
    for (const imported of dependency) if (!files.has(imported) && !missing.has(imported)) missing.set(imported, name)
  }
  if (missing.size === 0) return
  const named = [...missing].slice(0, 3).map(([imported, by]) => `"${imported}" (imported by "${by}")`)
  const more = missing.size > named.length ? ` and ${missing.size - named.length} more` : ''
  fail(`it lacks ${named.join(', ')}${more}`)
}

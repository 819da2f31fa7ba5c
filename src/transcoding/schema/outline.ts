import type {DescMethod} from '@bufbuild/protobuf'
import {protoCamelCase} from '@bufbuild/protobuf/reflect'
import {
  DescriptorProto_ExtensionRangeSchema,
  DescriptorProto_ReservedRangeSchema,
  Edition,
  EnumDescriptorProto_EnumReservedRangeSchema,
  EnumOptionsSchema,
  EnumValueOptionsSchema,
  FieldOptionsSchema,
  FileOptionsSchema,
  FieldDescriptorProto_Label as Label,
  MessageOptionsSchema,
  MethodOptionsSchema,
  OneofDescriptorProtoSchema,
  ServiceOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'
import {certain, refuse, WireReader} from './wire-reader.ts'

/** A file of a set. Positions are offsets in the bytes of the set. */
export interface FileOutline {
  readonly name: string
  readonly package: string
  readonly start: number
  readonly end: number
  readonly dependencies: readonly string[]
  /** Those of `dependencies` whose types its importers see too. */
  readonly publicDependencies: readonly string[]
  /** The other files that declare types of its fields and methods. */
  readonly uses: ReadonlySet<string>
  readonly services: readonly ServiceOutline[]
  /** Its extensions, also those inside of messages. */
  readonly extensions: readonly ExtensionOutline[]
}

export interface ServiceOutline {
  readonly name: string
  readonly typeName: string
  readonly methods: readonly MethodOutline[]
}

export interface MethodOutline {
  readonly name: string
  readonly kind: DescMethod['methodKind']
  /** The full names of its messages. */
  readonly input: string
  readonly output: string
  /** The position of its options; both 0 without any. */
  readonly optionsStart: number
  readonly optionsEnd: number
}

/** A declaration with a full name. An entry is the message of a map. */
export interface TypeOutline {
  readonly typeName: string
  readonly kind: 'message' | 'enum' | 'entry' | 'service' | 'extension'
  readonly file: FileOutline
  readonly start: number
  readonly end: number
}

export interface ExtensionOutline {
  readonly typeName: string
  readonly number: number
  /** The full name of the message that it extends. */
  readonly extendee: string
}

/** The names in a set, and the positions of the rest. */
export interface Outline {
  readonly bytes: Uint8Array
  /** By name. Each comes after those that it imports. */
  readonly files: ReadonlyMap<string, FileOutline>
  /** By full name. */
  readonly types: ReadonlyMap<string, TypeOutline>
}

/**
 * Reads the outline of a google.protobuf.FileDescriptorSet, which costs a fraction of decoding it. Undefined unless it is certain that
 * decoding succeeds and that fieldProblems() finds nothing: for sets with an error, and for forms that compilers do not write.
 */
export function outlineOf(bytes: Uint8Array): Outline | undefined {
  return certain(() => new OutlineReader(bytes).read())
}

type Mutable<T> = {-readonly [Key in keyof T]: T[Key]}

interface FileDraft extends Mutable<FileOutline> {
  readonly dependencies: string[]
  readonly publicDependencies: string[]
  readonly uses: Set<string>
  readonly services: ServiceOutline[]
  readonly extensions: ExtensionOutline[]
}

/** A use of a type in a file. It is looked up once all types are known. */
interface Use {
  readonly typeName: string
  readonly kind: 'message' | 'enum' | 'list'
  readonly file: FileDraft
}

/** The facts about a field that are checked. Its names stay bytes: there are many, and most need no look. */
export interface FieldFacts {
  nameStart: number
  nameEnd: number
  /** The position of its name in JSON; both 0 without one. */
  jsonStart: number
  jsonEnd: number
  number: number
  label: number
  type: number
  typeName: string
  extendee: string
  /** The index of its oneof, or -1. */
  oneof: number
  isOptional: boolean
}

/** The place of a declaration. */
interface Place {
  readonly file: FileDraft
  /** The full name of the declaration around it. */
  readonly scope: string
  /** The number of messages around it. */
  readonly level: number
}

/** Limit for the nesting of messages, well below the 100 levels that decoding allows, which include the set, the file and options. */
const maxLevel = 50

const syntaxes = new Set(['', 'proto2', 'proto3'])
const editions: ReadonlySet<number> = new Set([Edition.EDITION_2023, Edition.EDITION_2024])

/** The names that protobuf-es allows. */
const isName = /^\w+$/

/** Scalar types that the key of a map cannot have. */
const noKeys: ReadonlySet<number> = new Set([Type.FLOAT, Type.DOUBLE, Type.BYTES])

/** The option of enum values that gives them names in JSON, which protobuf-es reads at once. */
const jsonOption = 998

/** Reads one set. The numbers of fields are those of descriptor.proto. */
class OutlineReader {
  readonly #bytes: Uint8Array
  readonly #reader: WireReader
  readonly #files = new Map<string, FileDraft>()
  readonly #types = new Map<string, TypeOutline>()
  readonly #extensions = new Set<string>()
  readonly #uses: Use[] = []
  readonly #seenBy = new Map<FileOutline, ReadonlySet<FileOutline>>()

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#reader = new WireReader(bytes)
  }

  read(): Outline {
    const reader = this.#reader
    const end = this.#bytes.length
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number !== 1) refuse()
      this.#file(reader.end(end))
    }
    if (this.#files.size === 0) refuse()
    const files = this.#ordered()
    for (const {typeName, kind, file} of this.#uses) this.#check(typeName, kind, file)
    for (const file of this.#files.values()) {
      for (const {input, output} of file.services.flatMap(({methods}) => methods)) {
        this.#check(input, 'message', file)
        this.#check(output, 'message', file)
      }
    }
    return {bytes: this.#bytes, files, types: this.#types}
  }

  #file(end: number): void {
    const reader = this.#reader
    const file: FileDraft = {
      name: '',
      package: '',
      start: reader.at,
      end,
      dependencies: [],
      publicDependencies: [],
      uses: new Set(),
      services: [],
      extensions: [],
    }
    const publicIndexes: number[] = []
    const before = this.#types.size
    let syntax = ''
    let edition = 0
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      const place = {file, scope: file.package, level: 1}
      if (number === 1) file.name = reader.text(end)
      else if (number === 2) file.package = reader.names(end)
      else if (number === 3) file.dependencies.push(reader.text(end))
      else if (number === 4) this.#message(reader.end(end), place)
      else if (number === 5) this.#enum(reader.end(end), place)
      else if (number === 6) this.#service(reader.end(end), place)
      else if (number === 7) this.#extension(reader.end(end), place)
      else if (number === 8) reader.options(FileOptionsSchema, end)
      else if (number === 9) this.#sourceInfo(reader.end(end))
      else if (number === 10) publicIndexes.push(reader.number())
      else if (number === 12) syntax = reader.text(end)
      else if (number === 14) edition = reader.number()
      else if (number > 15) reader.skip(end)
      else refuse()
      // Full names begin with the package, so it has to come first.
      if (number === 2 && this.#types.size > before) refuse()
    }
    if (file.name === '' || this.#files.has(file.name)) refuse()
    if (syntax === 'editions' ? !editions.has(edition) : !syntaxes.has(syntax)) refuse()
    for (const index of publicIndexes) file.publicDependencies.push(file.dependencies[index] ?? refuse())
    this.#files.set(file.name, file)
  }

  #message(end: number, {file, scope, level}: Place): void {
    if (level > maxLevel) refuse()
    const reader = this.#reader
    const start = reader.at
    if (reader.field(end) !== 1) refuse()
    const typeName = within(scope, reader.name(end))
    const inside = {file, scope: typeName, level: level + 1}
    const fields: FieldFacts[] = []
    let oneofs = 0
    let isEntry = false
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number === 2) fields.push(fieldFacts(reader, reader.end(end)))
      else if (number === 3) this.#message(reader.end(end), inside)
      else if (number === 4) this.#enum(reader.end(end), inside)
      else if (number === 5) reader.message(DescriptorProto_ExtensionRangeSchema, end)
      else if (number === 6) this.#extension(reader.end(end), inside)
      else if (number === 7) isEntry = reader.message(MessageOptionsSchema, end).mapEntry
      else if (number === 8) {
        if (!isName.test(reader.message(OneofDescriptorProtoSchema, end).name)) refuse()
        oneofs++
      } else if (number === 9) reader.message(DescriptorProto_ReservedRangeSchema, end)
      else if (number === 10) reader.bytes(end)
      else if (number > 11) reader.skip(end)
      else refuse()
    }
    for (const field of fields) this.#checkNames(field, fields)
    if (isEntry) checkEntry(fields)
    for (const field of fields) {
      if (field.oneof >= oneofs && !field.isOptional) refuse()
      this.#use(field, file)
    }
    this.#declare({typeName, kind: isEntry ? 'entry' : 'message', file, start, end})
  }

  #extension(end: number, {file, scope}: Place): void {
    const start = this.#reader.at
    const field = fieldFacts(this.#reader, end)
    const {nameStart, nameEnd, extendee, number} = field
    const typeName = within(scope, this.#reader.string(nameStart, nameEnd))
    const key = `${number} ${extendee}`
    if (extendee === '' || this.#extensions.has(key)) refuse()
    this.#extensions.add(key)
    this.#uses.push({typeName: extendee, kind: 'message', file})
    this.#use(field, file, false)
    this.#declare({typeName, kind: 'extension', file, start, end})
    file.extensions.push({typeName, number, extendee})
  }

  #enum(end: number, {file, scope}: Place): void {
    const reader = this.#reader
    const start = reader.at
    let typeName = ''
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number === 1) typeName = within(scope, reader.name(end))
      else if (number === 2) this.#enumValue(reader.end(end))
      else if (number === 3) reader.options(EnumOptionsSchema, end)
      else if (number === 4) reader.message(EnumDescriptorProto_EnumReservedRangeSchema, end)
      else if (number === 5) reader.bytes(end)
      else if (number > 6) reader.skip(end)
      else refuse()
    }
    if (typeName === '') refuse()
    this.#declare({typeName, kind: 'enum', file, start, end})
  }

  #enumValue(end: number): void {
    const reader = this.#reader
    let name = ''
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number === 1) name = reader.name(end)
      else if (number === 2) reader.skipNumber()
      else if (number === 3) {
        const {$unknown} = reader.message(EnumValueOptionsSchema, end)
        if ($unknown?.some(({no}) => no === jsonOption)) refuse()
      } else reader.skip(end)
    }
    if (name === '') refuse()
  }

  #service(end: number, {file, scope}: Place): void {
    const reader = this.#reader
    const start = reader.at
    const methods: MethodOutline[] = []
    let name = ''
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number === 1) name = reader.name(end)
      else if (number === 2) methods.push(this.#method(reader.end(end)))
      else if (number === 3) reader.options(ServiceOptionsSchema, end)
      else reader.skip(end)
    }
    if (name === '') refuse()
    const typeName = within(scope, name)
    file.services.push({name, typeName, methods})
    this.#declare({typeName, kind: 'service', file, start, end})
  }

  #method(end: number): MethodOutline {
    const reader = this.#reader
    let name = ''
    let input = ''
    let output = ''
    let sends = false
    let answers = false
    let optionsStart = 0
    let optionsEnd = 0
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number === 1) name = reader.name(end)
      else if (number === 2) input = reader.typeName(end)
      else if (number === 3) output = reader.typeName(end)
      else if (number === 4 && optionsEnd === 0) {
        optionsEnd = reader.options(MethodOptionsSchema, end)
        optionsStart = reader.start
      } else if (number === 5) sends = reader.number() !== 0
      else if (number === 6) answers = reader.number() !== 0
      else if (number > 6) reader.skip(end)
      else refuse()
    }
    if (name === '') refuse()
    const kind = sends ? (answers ? 'bidi_streaming' : 'client_streaming') : answers ? 'server_streaming' : 'unary'
    return {name, kind, input, output, optionsStart, optionsEnd}
  }

  /** Comments and positions, which are most of the bytes where a set has them. */
  #sourceInfo(end: number): void {
    const reader = this.#reader
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number === 1) this.#location(reader.end(end))
      else reader.skip(end)
    }
  }

  #location(end: number): void {
    const reader = this.#reader
    for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
      if (number <= 2) reader.numbers(end)
      else if (number <= 6) reader.bytes(end)
      else reader.skip(end)
    }
  }

  #declare(type: TypeOutline): void {
    if (this.#types.has(type.typeName)) refuse()
    this.#types.set(type.typeName, type)
  }

  #use({type, typeName, label}: FieldFacts, file: FileDraft, mayBeEntry = true): void {
    if (type === Type.MESSAGE && label === Label.REPEATED && mayBeEntry) {
      this.#uses.push({typeName, kind: 'list', file})
    } else if (type === Type.MESSAGE || type === Type.GROUP) this.#uses.push({typeName, kind: 'message', file})
    else if (type === Type.ENUM) this.#uses.push({typeName, kind: 'enum', file})
    else if (typeName !== '') refuse()
  }

  /** Checks what fieldProblems() checks. */
  #checkNames({nameStart, nameEnd, jsonStart, jsonEnd, type}: FieldFacts, fields: readonly FieldFacts[]): void {
    const reader = this.#reader
    const isMessage = type === Type.MESSAGE || type === Type.GROUP
    const camel = isMessage || jsonStart === jsonEnd ? protoCamelCase(reader.string(nameStart, nameEnd)) : ''
    if (isMessage && camel in Object.prototype) refuse()
    if (jsonStart === jsonEnd) {
      const isTaken = ({nameStart: start, nameEnd: end}: FieldFacts) =>
        start !== nameStart && reader.string(start, end) === camel
      if (camel === '' || fields.some(isTaken)) refuse()
    } else if (!reader.isSame(nameStart, nameEnd, jsonStart, jsonEnd)) {
      for (const other of fields) if (reader.isSame(other.nameStart, other.nameEnd, jsonStart, jsonEnd)) refuse()
    }
  }

  /** Checks that a type exists where a file sees it. */
  #check(typeName: string, kind: Use['kind'], file: FileDraft): void {
    const type = this.#types.get(typeName) ?? refuse()
    const isEntry = kind === 'list' && type.kind === 'entry'
    if (type.file !== file) {
      if (isEntry || !this.#seen(file).has(type.file)) refuse()
      file.uses.add(type.file.name)
    }
    if (!isEntry && type.kind !== (kind === 'list' ? 'message' : kind)) refuse()
  }

  /** The files whose types `file` sees: its imports, and their public imports. */
  #seen(file: FileOutline): ReadonlySet<FileOutline> {
    let seen = this.#seenBy.get(file)
    if (!seen) {
      seen = new Set(file.dependencies.flatMap((name) => [...this.#published(name)]))
      this.#seenBy.set(file, seen)
    }
    return seen
  }

  #published(name: string, found = new Set<FileOutline>()): Set<FileOutline> {
    const file = this.#files.get(name)!
    if (!found.has(file)) {
      found.add(file)
      for (const imported of file.publicDependencies) this.#published(imported, found)
    }
    return found
  }

  /** Each file after those that it imports. */
  #ordered(): Map<string, FileOutline> {
    const ordered = new Map<string, FileOutline>()
    const begun = new Set<string>()
    const add = (name: string) => {
      if (ordered.has(name)) return
      // A circle of imports.
      if (begun.has(name)) refuse()
      begun.add(name)
      const file = this.#files.get(name) ?? refuse()
      file.dependencies.forEach(add)
      ordered.set(name, file)
    }
    for (const name of this.#files.keys()) add(name)
    return ordered
  }
}

function fieldFacts(reader: WireReader, end: number): FieldFacts {
  const field: FieldFacts = {
    nameStart: 0,
    nameEnd: 0,
    jsonStart: 0,
    jsonEnd: 0,
    number: 0,
    label: 0,
    type: 0,
    typeName: '',
    extendee: '',
    oneof: -1,
    isOptional: false,
  }
  for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
    if (number === 1) {
      field.nameEnd = reader.nameEnd(end)
      field.nameStart = reader.start
    } else if (number === 2) field.extendee = reader.typeName(end)
    else if (number === 3) field.number = reader.number()
    else if (number === 4) field.label = reader.number()
    else if (number === 5) field.type = reader.number()
    else if (number === 6) field.typeName = reader.typeName(end)
    else if (number === 7) reader.bytes(end)
    else if (number === 8) reader.options(FieldOptionsSchema, end)
    else if (number === 9) field.oneof = reader.number()
    else if (number === 10) {
      field.jsonEnd = reader.bytes(end)
      field.jsonStart = reader.start
    } else if (number === 17) field.isOptional = reader.number() !== 0
    else reader.skip(end)
  }
  if (field.nameEnd === 0 || field.type < Type.DOUBLE || field.type > Type.SINT64) refuse()
  return field
}

/** The field `name` of the message `type`; undefined for none. */
export function fieldNamed(name: string, {start, end}: TypeOutline, reader: WireReader): FieldFacts | undefined {
  reader.at = start
  for (let number = reader.field(end); number !== 0; number = reader.field(end)) {
    if (number !== 2) reader.skip(end)
    else {
      const field = fieldFacts(reader, reader.end(end))
      const length = field.nameEnd - field.nameStart
      if (length === name.length && reader.string(field.nameStart, field.nameEnd) === name) return field
    }
  }
  return undefined
}

function within(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`
}

/** An entry has a key and a value. */
function checkEntry([key, value, ...others]: readonly FieldFacts[]): void {
  if (!key || !value || others.length > 0 || key.number !== 1 || value.number !== 2) refuse()
  if (key.label === Label.REPEATED || value.label === Label.REPEATED) refuse()
  if (noKeys.has(key.type) || key.typeName !== '') refuse()
}

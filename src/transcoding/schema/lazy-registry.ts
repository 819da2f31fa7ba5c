import {
  create,
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf'
import {Edition, FileDescriptorProtoSchema} from '@bufbuild/protobuf/wkt'
import type {OptionField, OptionFinder} from '../../core/option-fields.ts'
import {addJsonNames} from './json-names.ts'
import {
  type FieldFacts,
  type FileOutline,
  fieldNamed,
  type MethodOutline,
  type Outline,
  type ServiceOutline,
} from './outline.ts'
import {WireReader} from './wire-reader.ts'

type Type = DescMessage | DescEnum | DescExtension | DescService

/** A decoded file. */
interface Decoded {
  readonly file: DescFile
  readonly services: readonly DescService[]
  /** In the order of protobuf-es. Services are those of the registry. */
  readonly types: readonly Type[]
}

/**
 * The types of an outline. A file is decoded when one of its messages, enums, extensions or options is asked for, together with those
 * whose types it uses. Files, services and methods are there from the beginning: they know their names and kinds, and decode for the rest.
 */
export class LazyRegistry implements FileRegistry {
  readonly kind = 'registry'
  /** Reads parts of its bytes. */
  readonly reader: WireReader
  readonly #outline: Outline
  readonly #files = new Map<string, LazyFile>()
  readonly #decoded = new Map<string, Decoded>()
  /** The types of the decoded files, and all services. */
  readonly #types = new Map<string, Type>()
  #extensions: ReadonlyMap<string, string> | undefined

  constructor(outline: Outline) {
    this.#outline = outline
    this.reader = new WireReader(outline.bytes)
    for (const file of outline.files.values()) {
      const made = new LazyFile(file, this)
      this.#files.set(file.name, made)
      for (const service of made.services) this.#types.set(service.typeName, service)
    }
  }

  get files(): Iterable<DescFile> {
    return this.#files.values()
  }

  *[Symbol.iterator](): IterableIterator<Type> {
    for (const name of this.#files.keys()) yield* this.decode(name).types
  }

  getFile(name: string): DescFile | undefined {
    return this.#files.get(name)
  }

  get(typeName: string): Type | undefined {
    const type = this.#outline.types.get(typeName)
    if (!type) return undefined
    if (type.kind !== 'service') this.decode(type.file.name)
    return this.#types.get(typeName)
  }

  getMessage(typeName: string): DescMessage | undefined {
    const type = this.get(typeName)
    return type?.kind === 'message' ? type : undefined
  }

  getEnum(typeName: string): DescEnum | undefined {
    const type = this.get(typeName)
    return type?.kind === 'enum' ? type : undefined
  }

  getExtension(typeName: string): DescExtension | undefined {
    const type = this.get(typeName)
    return type?.kind === 'extension' ? type : undefined
  }

  getExtensionFor({typeName}: DescMessage, number: number): DescExtension | undefined {
    const [name] = this.extensionNames(typeName, number)
    return name === undefined ? undefined : this.getExtension(name)
  }

  /** The name of the extension that gives the message `extendee` a field `number`: one at most. */
  extensionNames(extendee: string, number: number): readonly string[] {
    this.#extensions ??= new Map(
      [...this.#outline.files.values()].flatMap(({extensions}) =>
        extensions.map((extension) => [`${extension.number} ${extension.extendee}`, extension.typeName]),
      ),
    )
    const name = this.#extensions.get(`${number} ${extendee}`)
    return name === undefined ? [] : [name]
  }

  getService(typeName: string): DescService | undefined {
    const type = this.#outline.types.get(typeName)
    return type?.kind === 'service' ? (this.#types.get(typeName) as DescService) : undefined
  }

  /** The field `name` of the message `typeName`, not decoded; undefined for none. */
  fieldOf(typeName: string, name: string): FieldFacts | undefined {
    return fieldNamed(name, this.#outline.types.get(typeName)!, this.reader)
  }

  /** The file `name`, decoded when it is first asked for. */
  decode(name: string): Decoded {
    const known = this.#decoded.get(name)
    if (known) return known
    const {start, end, uses} = this.#outline.files.get(name)!
    const proto = fromBinary(FileDescriptorProtoSchema, this.#outline.bytes.subarray(start, end))
    proto.messageType.forEach(addJsonNames)
    const registry = createFileRegistry(proto, (imported) => this.#imported(imported, uses))
    const file = registry.getFile(name)!
    const services = [...file.services]
    const own = this.#files.get(name)!
    const types = [...registry].filter((type) => type.file === file)
    const decoded = {
      file,
      services,
      types: types.map((type) => (type.kind === 'service' ? this.getService(type.typeName)! : type)),
    }
    // The services and files that others get from this file are those of the registry.
    file.services.splice(0, services.length, ...own.services)
    file.dependencies.splice(0, file.dependencies.length, ...own.dependencies)
    for (const type of decoded.types) this.#types.set(type.typeName, type)
    this.#decoded.set(name, decoded)
    return decoded
  }

  /**
   * Stands for an imported file, with those of it and of its public imports whose types are used. Most files import options, which are
   * not needed. Nor are the imports of imports, which protobuf-es would go through as often as they are imported.
   */
  #imported(name: string, uses: ReadonlySet<string>): DescFile {
    const used = [...this.#published(name)].filter((published) => uses.has(published))
    const dependencies = used.map((published) => ({...this.decode(published).file, dependencies: []}))
    const none = {messages: [], enums: [], extensions: [], services: []}
    const proto = create(FileDescriptorProtoSchema, {name})
    return {kind: 'file', name, proto, edition: Edition.EDITION_PROTO3, deprecated: false, dependencies, ...none}
  }

  /** A file, and its public imports. */
  #published(name: string, found = new Set<string>()): Set<string> {
    if (found.has(name)) return found
    found.add(name)
    for (const published of this.#outline.files.get(name)!.publicDependencies) this.#published(published, found)
    return found
  }
}

class LazyFile implements DescFile {
  readonly kind = 'file'
  readonly name: string
  readonly services: DescService[]
  readonly #outline: FileOutline
  readonly #registry: LazyRegistry

  constructor(outline: FileOutline, registry: LazyRegistry) {
    this.name = outline.name.replace(/\.proto$/, '')
    this.#outline = outline
    this.#registry = registry
    this.services = outline.services.map((service) => new LazyService(service, this, registry) as DescService)
  }

  get decoded(): Decoded {
    return this.#registry.decode(this.#outline.name)
  }

  get dependencies(): DescFile[] {
    return this.#outline.dependencies.map((name) => this.#registry.getFile(name)!)
  }

  get proto() {
    return this.decoded.file.proto
  }

  get edition() {
    return this.decoded.file.edition
  }

  get deprecated() {
    return this.decoded.file.deprecated
  }

  get enums() {
    return this.decoded.file.enums
  }

  get messages() {
    return this.decoded.file.messages
  }

  get extensions() {
    return this.#outline.extensions.length === 0 ? [] : this.decoded.file.extensions
  }

  toString(): string {
    return `file ${this.#outline.name}`
  }
}

class LazyService implements DescService {
  readonly kind = 'service'
  readonly file: LazyFile
  readonly methods: DescMethod[]
  readonly #outline: ServiceOutline
  #byLocalName: Record<string, DescMethod> | undefined

  constructor(outline: ServiceOutline, file: LazyFile, registry: LazyRegistry) {
    this.file = file
    this.#outline = outline
    this.methods = outline.methods.map((method) => new LazyMethod(method, this, registry) as unknown as DescMethod)
  }

  get typeName() {
    return this.#outline.typeName
  }

  get name() {
    return this.#outline.name
  }

  /** The same service as protobuf-es has it. */
  get decoded(): DescService {
    return this.file.decoded.services.find(({typeName}) => typeName === this.typeName)!
  }

  get method(): Record<string, DescMethod> {
    this.#byLocalName ??= Object.fromEntries(this.methods.map((method) => [method.localName, method]))
    return this.#byLocalName
  }

  get proto() {
    return this.decoded.proto
  }

  get deprecated() {
    return this.decoded.deprecated
  }

  toString(): string {
    return `service ${this.typeName}`
  }
}

/** A method. It is a DescMethod, which cannot be said: each kind of method is a type of its own there. */
export class LazyMethod implements OptionFinder {
  readonly parent: LazyService
  readonly outline: MethodOutline
  readonly registry: LazyRegistry
  #kept: DescMethod | undefined

  constructor(outline: MethodOutline, parent: LazyService, registry: LazyRegistry) {
    this.outline = outline
    this.parent = parent
    this.registry = registry
  }

  get kind() {
    return 'rpc' as const
  }

  get name() {
    return this.outline.name
  }

  get methodKind() {
    return this.outline.kind
  }

  get input(): DescMessage {
    return this.#decoded.input
  }

  get output(): DescMessage {
    return this.#decoded.output
  }

  optionFields(number: number): readonly OptionField[] {
    const {optionsStart, optionsEnd} = this.outline
    return this.registry.reader.fieldsOf(number, optionsStart, optionsEnd)
  }

  /** The same method as protobuf-es has it. Kept, as requests ask for its messages many times. */
  get #decoded(): DescMethod {
    if (!this.#kept) {
      const {decoded, methods} = this.parent
      this.#kept = decoded.methods[methods.indexOf(this as unknown as DescMethod)]!
    }
    return this.#kept
  }

  get localName() {
    return this.#decoded.localName
  }

  get proto() {
    return this.#decoded.proto
  }

  get deprecated() {
    return this.#decoded.deprecated
  }

  get idempotency() {
    return this.#decoded.idempotency
  }

  toString(): string {
    return `rpc ${this.parent.typeName}.${this.name}`
  }
}

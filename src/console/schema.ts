import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  ScalarType,
} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import type {SecurityScheme} from '../core/config.ts'
import type {UploadForm} from '../http/scope.ts'
import {commentOf} from '../transcoding/openapi/comments.ts'
import {httpMethodsOf} from '../transcoding/openapi/paths.ts'
import {bodyReaderOf} from '../transcoding/requests.ts'
import type {Binding} from '../transcoding/rules/bindings.ts'

/** The page's data about the API, from which it makes a form for each method. */
export interface PageSchema {
  readonly title: string
  readonly version: string
  /** The ways to authenticate; undefined if unknown. */
  readonly security?: readonly SecurityScheme[] | undefined
  /** Whether client-streaming methods can be called over a WebSocket. */
  readonly webSocket: boolean
  /** The other functions of the instance. */
  readonly functions: readonly PageFunction[]
  readonly services: readonly PageService[]
  /** Messages and enums by full name, without the well-known types that have their own JSON form. */
  readonly types: Readonly<Record<string, PageMessage | PageEnum>>
}

/** A function beside the gateway. */
export interface PageFunction {
  readonly path: string
  /** Facts about an upload function; undefined for other functions. */
  readonly upload?: PageUpload | undefined
  /** Whether it creates resumable uploads of Storage, for the upload function at the beginning of its path. */
  readonly uploadSession?: true | undefined
}

export interface PageUpload {
  /** `pkg.Service/Method` */
  readonly method: string
  /** The full name of the context's message. */
  readonly context: string
  /** Fields of the context that must not be empty, by JSON names: `owner.name`. */
  readonly required: readonly string[]
}

export interface PageService {
  readonly name: string
  readonly comment: string
  readonly methods: readonly PageMethod[]
}

export interface PageMethod {
  readonly name: string
  readonly kind: DescMethod['methodKind']
  readonly comment: string
  readonly deprecated: boolean
  readonly input: string
  readonly output: string
  readonly bindings: readonly PageBinding[]
}

/** One way to call a method over HTTP. */
export interface PageBinding {
  readonly method: string
  /** The path in pieces: encoded text, or a variable. */
  readonly path: readonly (string | PageVariable)[]
  /** `*`: the whole message; the JSON name of a field; empty: no body. */
  readonly body: string
  /** The body's format: JSON of one message, JSON of a stream of messages, or bytes of any type. */
  readonly reads: 'message' | 'stream' | 'raw' | 'nothing'
}

export interface PageVariable {
  /** The path of the field by JSON names: `book.name`. */
  readonly field: string
  /** The pattern of its value: `shelves/*`; `*` for one segment. */
  readonly pattern: string
}

export interface PageMessage {
  readonly comment: string
  readonly fields: readonly PageField[]
}

export interface PageField {
  readonly name: string
  readonly json: string
  readonly comment: string
  /** A scalar of proto (`int64`), `message` or `enum`. */
  readonly type: string
  /** The full name of the message or enum. */
  readonly of?: string | undefined
  readonly many?: 'list' | 'map' | undefined
  /** The scalar of a map's keys. */
  readonly key?: string | undefined
  /** The name of its oneof. */
  readonly oneof?: string | undefined
  /** Whether it has presence: unset differs from zero. */
  readonly optional: boolean
  readonly required: boolean
  readonly deprecated: boolean
}

export interface PageEnum {
  readonly comment: string
  readonly values: readonly {readonly name: string; readonly comment: string}[]
}

export interface PageSchemaOptions {
  readonly title: string
  readonly version: string
  readonly security?: readonly SecurityScheme[] | undefined
  readonly webSocket: boolean
  readonly functions: readonly {
    readonly path: string
    readonly upload?: UploadForm | undefined
    readonly uploadSession?: true | undefined
  }[]
}

/** Makes the page's data from `bindings`, the same by which requests are routed. */
export function pageSchema(bindings: readonly Binding[], options: PageSchemaOptions): PageSchema {
  const {title, version, security, webSocket, functions} = options
  const types = new Types()
  return {
    title,
    version,
    security,
    webSocket,
    functions: functions.map(({path, upload, uploadSession}) => ({
      path,
      uploadSession,
      upload: upload && {...upload, context: types.message(upload.context)},
    })),
    services: servicesOf(bindings).map((service) => ({
      name: service.typeName,
      comment: commentOf(service),
      methods: methodsOf(bindings, service).map((method) => ({
        name: method.name,
        kind: method.methodKind,
        comment: commentOf(method),
        deprecated: method.deprecated || service.deprecated,
        input: types.message(method.input),
        output: types.message(method.output),
        bindings: bindings.filter((binding) => binding.method === method).flatMap(bindingsOf),
      })),
    })),
    types: types.known,
  }
}

function servicesOf(bindings: readonly Binding[]): DescService[] {
  const services = new Set(bindings.map(({method}) => method.parent))
  return [...services].sort((a, b) => (a.typeName < b.typeName ? -1 : 1))
}

function methodsOf(bindings: readonly Binding[], service: DescService): DescMethod[] {
  return service.methods.filter((method) => bindings.some((binding) => binding.method === method))
}

/** The page's bindings for `binding`: several for `custom {kind: "*"}`. */
function bindingsOf(binding: Binding): PageBinding[] {
  const {body} = binding
  return httpMethodsOf(binding).map((method) => ({
    method: method.toUpperCase(),
    path: pathOf(binding),
    body: body === undefined || body === '*' ? (body ?? '') : body.jsonName,
    reads: bodyReaderOf(binding) ?? 'nothing',
  }))
}

function pathOf({template, variables}: Binding): (string | PageVariable)[] {
  const pieces: (string | PageVariable)[] = []
  const textOf = (segments: typeof template.segments) =>
    segments.map((segment) => (segment.kind === 'literal' ? encodeURIComponent(segment.text) : segment.kind)).join('/')
  let at = 0
  for (const [index, {start, end}] of template.variables.entries()) {
    const {parents, field} = variables[index]!
    const before = textOf(template.segments.slice(at, start))
    pieces.push(`/${before}${before && '/'}`)
    const name = [...parents, field].map(({jsonName}) => jsonName).join('.')
    pieces.push({field: name, pattern: textOf(template.segments.slice(start, end))})
    at = end
  }
  const rest = textOf(template.segments.slice(at))
  const verb = template.verb && `:${template.verb}`
  pieces.push(`${rest || at === 0 ? '/' : ''}${rest}${verb}`)
  return pieces.filter((piece) => piece !== '')
}

/** Types of google.protobuf with their own JSON form. The page has a special input for each. */
const special = /^google\.protobuf\.(?:Timestamp|Duration|FieldMask|Struct|Value|ListValue|Any|Empty|\w+Value)$/

/** The types for the page. Each is made once, when first referred to. */
class Types {
  readonly #known = new Map<string, PageMessage | PageEnum>()

  /** All types that have been referred to so far. */
  get known(): Readonly<Record<string, PageMessage | PageEnum>> {
    return Object.fromEntries(this.#known)
  }

  message(desc: DescMessage): string {
    const {typeName} = desc
    if (special.test(typeName) || this.#known.has(typeName)) return typeName
    const fields: PageField[] = []
    // Reserved first: a message may contain itself.
    this.#known.set(typeName, {comment: commentOf(desc), fields})
    for (const field of desc.fields) fields.push(this.#field(field))
    return typeName
  }

  #enum(desc: DescEnum): string {
    const values = desc.values.map((value) => ({name: value.jsonName, comment: commentOf(value)}))
    this.#known.set(desc.typeName, {comment: commentOf(desc), values})
    return desc.typeName
  }

  #field(field: DescField): PageField {
    const {name, jsonName: json, presence} = field
    const isSingular = field.fieldKind === 'scalar' || field.fieldKind === 'enum'
    return {
      name,
      json,
      comment: commentOf(field),
      ...this.#typeOf(field),
      oneof: field.oneof?.name,
      optional: isSingular && !field.oneof && presence !== FeatureSet_FieldPresence.IMPLICIT,
      required: presence === FeatureSet_FieldPresence.LEGACY_REQUIRED,
      deprecated: field.deprecated,
    }
  }

  #typeOf(field: DescField): Pick<PageField, 'type' | 'of' | 'many' | 'key'> {
    const many = field.fieldKind === 'list' || field.fieldKind === 'map' ? field.fieldKind : undefined
    const key = field.fieldKind === 'map' ? nameOf(field.mapKey) : undefined
    if (field.message) return {type: 'message', of: this.message(field.message), many, key}
    if (field.enum) return {type: 'enum', of: this.#enum(field.enum), many, key}
    return {type: nameOf(field.scalar!), many, key}
  }
}

function nameOf(scalar: ScalarType): string {
  return ScalarType[scalar].toLowerCase()
}

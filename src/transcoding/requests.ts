import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type JsonValue,
  type Message,
  mergeFromJson,
  ScalarType,
} from '@bufbuild/protobuf'
import {type Dialect, ownDialect} from '../core/dialect.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import type {MessageCheck} from './checks/check.ts'
import {
  freeParameter,
  reservedParameter,
  type SystemParameter,
  type SystemParameters,
} from './conventions/system-parameters.ts'
import {type Assignment, assignmentOf, type FieldPlan, type Origin, override, planOf, put} from './fields/assign.ts'
import {
  type FieldPath,
  fieldsOf,
  findField,
  isPlainMessage,
  isTextual,
  kindOf,
  type MessageField,
} from './fields/fields.ts'
import {refuseMissing} from './fields/required.ts'
import {scalarTexts} from './fields/scalars.ts'
import {fitField, type JsonOptions} from './json/fit.ts'
import {asRead, jsonValue, messageFromJson, recursionLimit} from './json/message.ts'
import {decodeUtf8, isBlank} from './json/text.ts'
import type {BodyReader} from './media.ts'
import {checkWire} from './rpc/wire-check.ts'
import type {Binding} from './rules/bindings.ts'
import {parseForm, parseQuery} from './rules/percent.ts'
import {WrittenPaths} from './update-mask.ts'
import {ValueCount} from './value-count.ts'

/** One part of a multipart/form-data body. */
export interface Part {
  name: string
  value: Uint8Array | string
  filename?: string | undefined
  contentType?: string | undefined
}

/** Makes the messages of one request. The fields that path and query set are set in each of them (our decision). */
export interface MessageReader {
  /** The system parameters in the query. */
  readonly system: SystemParameters
  /** Applies `change` to each message, as the last step. */
  finish(change: Finish): void
  /** Whether path or query set a field. */
  readonly bindsSomething: boolean
  /** A message with only the fields that path and query set. */
  bare(): Message
  /** A message of a client stream, from its JSON. @throws {Fault} 400 */
  json(text: string): Message
  /** A message from its bytes in the protobuf wire format. @throws {Fault} 400 */
  binary(bytes: Uint8Array): Message
  /** A message from a JSON body. @throws {Fault} 400 */
  jsonText(body: Uint8Array | string): Message
  /** A message with a google.api.HttpBody or the next chunk of one. Only the first message has the content type (httpbody.proto). */
  raw(data?: Uint8Array | string): Message
  /** A message from the parts of a multipart/form-data body. @throws {Fault} 400 */
  form(parts: Iterable<Part>): Message
  /** A message from an application/x-www-form-urlencoded body. @throws {Fault} 400 */
  formText(body: Uint8Array | string): Message
  /** A message from such a body, read as if it were the query. @throws {Fault} 400 */
  formAsQuery(body: Uint8Array | string): Message
}

/** Facts about a request beside path and query. */
export interface ReaderOptions {
  readonly contentType?: string | undefined
  /** Whether the request is a stream of messages. */
  readonly repeats?: boolean
}

/** A change to a message whose path, query and body have been read. @throws {Fault} 400 */
export type Finish = (message: Message, count: ValueCount) => void

const resumed: Origin = {name: 'last-event-id', mayRepeat: false}

/** Resumes a stream of answers after the id `text`, overriding the request, which a browser repeats unchanged. @throws {Fault} 400 */
export function goingOn(plan: FieldPlan, text: string): Finish {
  const assignment = assignmentOf(plan, text, resumed, new ValueCount())
  return (message, count) => override(message, assignment, count)
}

/** How requests are read. */
export interface DecoderOptions extends JsonOptions {
  /** Limit for the values of one message: 20,000 unless given. */
  maxValues?: number | undefined
  dialect?: Dialect | undefined
  /** Checks each message, as the last step. */
  check?: MessageCheck | undefined
}

/** A message while it is read. */
interface Draft {
  readonly count: ValueCount
  /** Collects the fields that the body writes; undefined where no update mask is filled with them. */
  readonly written: WrittenPaths | undefined
}

/** What has been read of the query so far. */
interface Assigned {
  readonly system: SystemParameters
  /** Names of the fields and parameters that have been set. */
  readonly assigned: Set<string>
}

/** Reads requests of one binding; made once. */
export class RequestDecoder {
  readonly #binding: Binding
  readonly #options: DecoderOptions
  readonly #dialect: Dialect
  readonly #paths: readonly {plan: FieldPlan; origin: Origin}[]
  readonly #bound: ReadonlySet<string>
  readonly #queries = new Map<string, Query>()

  constructor(binding: Binding, options: DecoderOptions) {
    this.#binding = binding
    this.#options = options
    this.#dialect = options.dialect ?? ownDialect
    this.#paths = binding.variables.map((plan) => ({
      plan: this.#spelled(plan),
      origin: {name: plan.name, mayRepeat: true},
    }))
    this.#bound = new Set(binding.variables.map((plan) => plan.name))
  }

  /**
   * Reads path and query of a request, and returns the reader for its messages.
   * @throws {Fault} 400 for errors in path or query, before any of the body has arrived
   */
  begin(
    captures: readonly string[],
    query: string | undefined,
    {contentType, repeats = false}: ReaderOptions = {},
  ): MessageReader {
    if (repeats) refuseLong(captures, query)
    const counted = new ValueCount(this.#options.maxValues)
    const system: SystemParameters = {}
    const assigned = new Set<string>()
    const assignments = [...this.#captured(captures, counted), ...this.#assignments(query, counted, {system, assigned})]
    const changes: Finish[] = []
    const empty = () => create(this.#binding.method.input)
    const complete = (read: (draft: Draft) => Message) => {
      const draft = this.#draft(repeats ? counted.copy() : counted)
      return this.#complete(read(draft), assignments, draft, changes)
    }
    if (repeats) this.#apply(empty(), assignments, counted.copy())
    let type = contentType
    return {
      system,
      finish: (change) => changes.push(change),
      bindsSomething: assignments.length > 0,
      bare: () => complete(empty),
      json: (text) => complete((draft) => this.#json(text, draft)),
      binary: (bytes) => complete((draft) => this.#binary(bytes, draft)),
      jsonText: (body) => complete((draft) => this.#json(typeof body === 'string' ? body : decodeUtf8(body), draft)),
      raw: (data) => {
        const message = this.#raw(bytesOf(data), type)
        type = undefined
        return complete(() => message)
      },
      form: (parts) => complete((draft) => this.#form(parts, draft)),
      formText: (body) => complete((draft) => this.#form(partsOf(formText(body)), draft)),
      formAsQuery: (body) => {
        assignments.push(...this.#assignments(queryOfForm(body), counted, {system: {}, assigned}))
        return complete(empty)
      },
    }
  }

  #draft(count: ValueCount): Draft {
    const {updateMask} = this.#binding
    return {count, written: updateMask && new WrittenPaths(updateMask)}
  }

  #complete(
    message: Message,
    assignments: readonly Assignment[],
    {count, written}: Draft,
    changes: readonly Finish[],
  ): Message {
    this.#apply(message, assignments, count)
    for (const change of changes) change(message, count)
    written?.fill(message)
    refuseMissing(this.#binding.method.input, message)
    this.#options.check?.(message)
    return message
  }

  #apply(message: Message, assignments: readonly Assignment[], count: ValueCount): void {
    for (const {path, value, origin, mapKey} of assignments) put(message, path, value, origin, count, mapKey)
  }

  /** The fields that the path sets. */
  #captured(captures: readonly string[], count: ValueCount): Assignment[] {
    return this.#paths.map(({plan, origin}, index) => assignmentOf(plan, captures[index]!, origin, count))
  }

  /** The fields that the query sets. */
  #assignments(query: string | undefined, count: ValueCount, {system, assigned}: Assigned): Assignment[] {
    const assignments: Assignment[] = []
    if (!query) return assignments
    for (const [name, text] of parseQuery(query)) {
      count.add(1)
      const found = this.#query(name)
      if ('skip' in found) continue
      if ('problem' in found) throw refused(name, found.problem)
      if ('system' in found) {
        if (assigned.has(`$${name}`)) throw refused(name, 'it is given twice')
        assigned.add(`$${name}`)
        found.system(system, text, name)
        continue
      }
      const {plan, mapKey} = found
      once(assigned, plan, name, mapKey)
      const assignment = assignmentOf(plan, text, {name, mayRepeat: false}, count)
      assignments.push(mapKey === undefined ? assignment : {...assignment, mapKey})
    }
    return assignments
  }

  #query(name: string): Query {
    const known = this.#queries.get(name)
    if (known) return known
    const found = this.#find(name)
    // Cached only for top-level fields: the number of nested paths may be unlimited.
    if (fieldsOf(this.#binding.method.input).has(name)) this.#queries.set(name, found)
    return found
  }

  #find(name: string): Query {
    const reserved = reservedParameter(name)
    if (reserved) return {system: reserved}
    const {mapParameters, ignoreUnknown, boundParameters} = this.#dialect
    const [, map = name, key] = (mapParameters && /^([^[\]]+)\[(.*)\]$/.exec(name)) || []
    const found = findField(this.#binding.method.input, map)
    if ('problem' in found) {
      const system = found.unknown ? freeParameter(name) : undefined
      if (system) return {system}
      const ignoresUnknown = ignoreUnknown === true || ignoreUnknown === 'query'
      return ignoresUnknown && found.unknown ? {skip: true} : found
    }
    const {body} = this.#binding
    const isBodys = body === '*' || (body && (found.parents[0] ?? found.field) === body)
    if (isBodys || this.#bound.has(found.name)) {
      return boundParameters === 'ignore' ? {skip: true} : {problem: `the ${isBodys ? 'body' : 'path'} sets it`}
    }
    const query =
      key !== undefined
        ? entryOf(found, key)
        : mapParameters && isEmptyMessage(found.field)
          ? {plan: emptyPlan(found)}
          : textual(found)
    return 'plan' in query ? {...query, plan: this.#spelled(query.plan)} : query
  }

  /** `plan` with the spellings of booleans that the dialect takes. */
  #spelled(plan: FieldPlan): FieldPlan {
    const {field} = plan
    const isBoolean = field.scalar === ScalarType.BOOL || field.message?.typeName === 'google.protobuf.BoolValue'
    if (this.#dialect.booleans === 'strict' || !isBoolean) return plan
    return {...plan, read: (text) => plan.read(strictBoolean(text))}
  }

  #json(text: string, {count, written}: Draft): Message {
    const {method, body} = this.#binding
    if (body === undefined) throw Fault.invalid('body', `Cannot read a body: ${this.#binding.rule} takes none`)
    if (body === '*') return messageFromJson(method.input, text, this.#options, count)
    if (isBlank(text)) return create(method.input)
    const value = jsonValue(text, count)
    const {registry, ignoreUnknown} = this.#options
    // Before fitField(), which removes some nulls.
    if (body.message) written?.addJson(body.message, value, registry)
    return asRead(() => {
      const field = {[body.jsonName]: fitField(body, value, body.name, {registry, ignoreUnknown, count})} as JsonValue
      const options = {registry, ignoreUnknownFields: ignoreUnknown, recursionLimit}
      return mergeFromJson(method.input, create(method.input), field, options)
    })
  }

  #binary(bytes: Uint8Array, {count}: Draft): Message {
    const {input} = this.#binding.method
    checkWire(input, bytes, count)
    return fromBinary(input, bytes, {recursionLimit})
  }

  #raw(data: Uint8Array, contentType: string | undefined): Message {
    const {method, body} = this.#binding
    const http = {contentType: contentType ?? '', data}
    if (body === '*' || body === undefined) return create(method.input, http)
    const message = create(method.input)
    const path = {name: body.name, parents: [], field: body}
    put(message, path, create(body.message!, http), {name: 'body', mayRepeat: false}, new ValueCount())
    return message
  }

  #form(parts: Iterable<Part>, {count, written}: Draft): Message {
    const {method, body} = this.#binding
    const message = create(method.input)
    const assigned = new Set<string>()
    for (const part of parts) {
      count.add(1)
      // Names are relative to the body, which is the whole message or a message in it.
      const path = body && body !== '*' && isPlainMessage(body) ? `${body.name}.${part.name}` : part.name
      const found = findField(method.input, path)
      if ('problem' in found) {
        if (this.#options.ignoreUnknown && found.unknown) continue
        throw refused(part.name, found.problem)
      }
      if (this.#bound.has(found.name)) throw refused(part.name, 'the path sets it')
      if (body !== '*' && (found.parents[0] ?? found.field) !== body)
        throw refused(part.name, 'the body does not set it')
      once(assigned, found, part.name)
      written?.add(found.name.slice(found.name.indexOf('.') + 1))
      putPart(message, found, part, count)
    }
    return message
  }
}

/** The reader for the body of a request; undefined for a rule without a body. */
export function bodyReaderOf({method, body}: Binding): BodyReader | undefined {
  if (body === undefined) return undefined
  const desc = body === '*' ? method.input : body.fieldKind === 'message' ? body.message : undefined
  if (isHttpBody(desc)) return 'raw'
  return method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming' ? 'stream' : 'message'
}

/** Limit for path and query of a client stream, in characters. */
const maxStreamQuery = 4096

/** @throws {Fault} 400 for a long path or query, which would make every message of a stream large, however short it is in the body */
function refuseLong(captures: readonly string[], query = ''): void {
  const length = captures.reduce((sum, {length}) => sum + length, query.length)
  if (length <= maxStreamQuery) return
  throw Fault.invalid(
    'query',
    `Cannot read path and query: expected at most ${maxStreamQuery} characters on a client stream, where every message gets them`,
  )
}

/** The meaning of a query parameter: the field that it sets, a problem, none (it is ignored), or a system parameter. */
type Query = {plan: FieldPlan; mapKey?: string} | {problem: string} | {skip: true} | {system: SystemParameter}

/** The entry of a map that `labels[color]` sets. */
function entryOf(path: FieldPath, key: string): Query {
  const {field} = path
  if (field.fieldKind !== 'map' || field.mapKind === 'message')
    return {problem: `it is ${kindOf(field)}, not a map of scalars`}
  const read = scalarTexts[field.mapKey].read(key)
  return read === undefined
    ? {problem: `expected ${scalarTexts[field.mapKey].expected} in its brackets`}
    : {plan: planOf(path), mapKey: String(read)}
}

/** What Go and Envoy read as booleans, as ProtoJSON has it; all other text as it is. */
function strictBoolean(text: string): string {
  if (/^(?:1|t|true|y|yes)$/i.test(text)) return 'true'
  return /^(?:0|f|false|n|no)$/i.test(text) ? 'false' : text
}

function isEmptyMessage(field: DescField): field is MessageField {
  return field.fieldKind === 'message' && field.message.typeName === 'google.protobuf.Empty'
}

function emptyPlan(path: FieldPath): FieldPlan {
  const {message} = path.field as MessageField
  return {...path, expected: 'no value', read: (text) => (text === '' ? create(message) : undefined)}
}

function textual(path: FieldPath): {plan: FieldPlan} | {problem: string} {
  if (isTextual(path.field)) return {plan: planOf(path)}
  return {problem: `it is ${kindOf(path.field)}${isPlainMessage(path.field) ? ': set its fields one by one' : ''}`}
}

function once(assigned: Set<string>, {name: path, field}: FieldPath, given: string, mapKey?: string): void {
  const name = mapKey === undefined ? path : `${path}[${mapKey}]`
  if (field.fieldKind !== 'list' && assigned.has(name)) throw refused(given, 'it is given twice, and not repeated')
  assigned.add(name)
}

function refused(name: string, problem: string): Fault {
  return Fault.invalid(name, `Cannot set "${shortened(name)}": ${problem}`)
}

function refuseForm(reason: string): never {
  throw Fault.invalid('body', `Cannot read the body as a form: ${reason}`)
}

function formText(body: Uint8Array | string): string {
  return typeof body === 'string' ? body : decodeUtf8(body, refuseForm)
}

/** Converts a form to the equivalent query. */
function queryOfForm(body: Uint8Array | string): string {
  return formText(body)
    .toWellFormed()
    .replace(/[\x80-\uffff]+/g, encodeURIComponent)
}

function* partsOf(form: string): Generator<Part> {
  for (const [name, value] of parseForm(form)) yield {name, value}
}

function putPart(message: Message, path: FieldPath, part: Part, count: ValueCount): void {
  const origin = {name: part.name, mayRepeat: false}
  const file = fileValue(path.field, part)
  if (file) put(message, path, file, origin, count)
  else {
    const found = textual(path)
    if ('problem' in found) throw refused(part.name, found.problem)
    put(message, path, assignmentOf(found.plan, textIn(part), origin, count).value, origin, count)
  }
}

function textIn({name, value}: Part): string {
  if (typeof value === 'string') return value
  return decodeUtf8(value, (reason) => {
    throw refused(name, reason)
  })
}

/** The value of a binary part: an HttpBody, or a file for a bytes field. In all other cases bytes are base64. */
function fileValue(field: DescField, part: Part): unknown {
  if (field.fieldKind === 'map') return undefined
  if (field.message && isHttpBody(field.message)) {
    return create(field.message, {contentType: part.contentType ?? '', data: bytesOf(part.value)})
  }
  return field.scalar === ScalarType.BYTES && part.filename !== undefined ? bytesOf(part.value) : undefined
}

/** Whether `desc` is google.api.HttpBody: the bytes of a body and their type, rather than JSON (httpbody.proto). */
export function isHttpBody(desc: DescMessage | undefined): boolean {
  return desc?.typeName === 'google.api.HttpBody'
}

const encoder = new TextEncoder()

function bytesOf(data: Uint8Array | string = ''): Uint8Array {
  return typeof data === 'string' ? encoder.encode(data) : data
}

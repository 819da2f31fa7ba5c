import {
  clone,
  create,
  createFileRegistry,
  type FileRegistry,
  fromBinary,
  type JsonValue,
  type Message,
  type MessageInitShape,
  setExtension,
  toJson,
} from '@bufbuild/protobuf'
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodDescriptorProtoSchema,
  MethodOptionsSchema,
} from '@bufbuild/protobuf/wkt'
import {Fault} from '../../src/core/fault.ts'
import {http} from '../../src/gen/google/api/annotations_pb.js'
import {HttpRuleSchema} from '../../src/gen/google/api/http_pb.js'
import {detailsJson, httpStatusOf} from '../../src/http/response/failure.ts'
import {type Part, RequestDecoder} from '../../src/transcoding/requests.ts'
import {
  type Encoded,
  encodeResponse as encodeResponseOf,
  jsonWriting,
  responseJson,
} from '../../src/transcoding/responses.ts'
import type {Binding} from '../../src/transcoding/rules/bindings.ts'
import type {Match} from '../../src/transcoding/rules/router.ts'
import {createTranscoder, type Transcoder, type TranscoderOptions} from '../../src/transcoding/transcoder.ts'
import {bufBuild, protosIn} from '../helpers/buf.ts'

/** The protos in protos/ and this project's own google/api, which is served, in one set made by `buf build`. */
export const bytes = bufBuild({...protosIn('test/transcoding/protos'), ...protosIn('proto/google/api', 'google/api')})
const set = fromBinary(FileDescriptorSetSchema, bytes)
export const registry: FileRegistry = createFileRegistry(set)

/** A rule as in a proto, and the types of its method, which are every.Every by default. */
export type RuleInit = MessageInitShape<typeof HttpRuleSchema> & {
  get?: string
  put?: string
  post?: string
  patch?: string
  delete?: string
  custom?: {kind: string; path: string}
  additional?: RuleInit[]
  response?: string
  input?: string
  output?: string
}

/** A registry with only a service `bound.Bound`, which has a method for each rule: M0, M1, … */
export function bound(...rules: (RuleInit | undefined)[]): FileRegistry {
  const file = create(FileDescriptorProtoSchema, {
    name: 'bound.proto',
    package: 'bound',
    syntax: 'proto3',
    dependency: set.file.map(({name}) => name),
    service: [{name: 'Bound', method: rules.map(methodOf)}],
  })
  return createFileRegistry(create(FileDescriptorSetSchema, {file: [...withoutServices(), file]}))
}

/** A transcoder for only these rules. */
export function transcode(rules: (RuleInit | undefined)[], options: Partial<TranscoderOptions> = {}): Transcoder {
  return createTranscoder({schema: bound(...rules), ...options})
}

/** The template in a binding's rule. */
export function templateOf({rule}: Binding): string | undefined {
  return /"([^"]*)"/.exec(rule)?.[1]
}

/** The parts of a request other than the path. */
export interface RequestParts {
  query?: string | undefined
  contentType?: string | undefined
  /** The whole body, or the parts of a multipart body. */
  body?: Uint8Array | string | readonly Part[] | undefined
}

/** The only message of a request. */
export function decodeRequest(transcoder: Transcoder, match: Match<Binding>, parts: RequestParts): Message {
  const {body, query, contentType = Array.isArray(body) ? 'multipart/form-data' : undefined} = parts
  const head = {headers: {}, query, contentType, hasBody: Boolean(body?.length)}
  const {request} = transcoder.exchange(match, head)!
  if (request.body === 'stream') throw new Error('It takes a stream')
  if (request.body === 'parts') return request.message(body as readonly Part[])
  if (request.body === 'whole') return request.message(body as Uint8Array | string | undefined)
  const message = request.message()
  request.check?.readAll(Buffer.from((body ?? '') as string))
  return message
}

/** Returns the decoder of the messages of a client stream. */
export function readMessages(
  {registry}: Transcoder,
  {binding, captures}: Match<Binding>,
  parts: RequestParts,
  maxValues?: number,
) {
  const {query, contentType} = parts
  return new RequestDecoder(binding, {registry, maxValues, ignoreUnknown: false}).begin(captures, query, {
    contentType,
    repeats: true,
  })
}

/** The whole response for `message`. */
export function encodeResponse({registry}: Transcoder, binding: Binding, message: Message): Encoded {
  return encodeResponseOf(binding, message, jsonWriting(registry))
}

/** The JSON of `message` in a stream. */
export function encodeMessage({registry}: Transcoder, binding: Binding, message: Message): string {
  return responseJson(binding, message, jsonWriting(registry))
}

/** The message that a transcoder makes from an HTTP request to a path with its query. */
export function decode(transcoder: Transcoder, method: string, url: string, body?: string | Uint8Array, type?: string) {
  const [path = '', query] = url.split(/\?(.*)/s)
  const match = transcoder.route(method, path)
  if ('status' in match) throw new Error(`${match.status} for ${method} ${url}`)
  return decodeRequest(transcoder, match, {query, body, contentType: type}) as Message & Record<string, unknown>
}

/** Like decode(), in proto3 JSON. */
export function decodeJson(transcoder: Transcoder, ...request: Rest<typeof decode>): JsonValue {
  const message = decode(transcoder, ...request)
  return toJson(transcoder.registry.getMessage(message.$typeName)!, message, {registry: transcoder.registry})
}

/** The field that the 400 for a request names, and the error's text. */
export function refusal(transcoder: Transcoder, ...request: Rest<typeof decode>): [field: string, message: string] {
  const fault = caught(() => decode(transcoder, ...request))
  if (httpStatusOf(fault) !== 400) throw fault
  return [fieldOf(fault), fault.message]
}

/** The Fault that `act` throws. */
export function caught(act: () => unknown): Fault {
  try {
    act()
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
  throw new Error('a Fault was expected')
}

/** The field that a Fault's BadRequest names. */
export function fieldOf(fault: Fault): string {
  const [detail] = detailsJson(fault) as [{fieldViolations: [{field?: string}]}]
  // proto3 JSON leaves out an empty string.
  return detail.fieldViolations[0].field ?? ''
}

type Rest<F extends (...args: never[]) => unknown> = Parameters<F> extends [unknown, ...infer R] ? R : never

function withoutServices(): FileDescriptorProto[] {
  return set.file.map((file) => Object.assign(clone(FileDescriptorProtoSchema, file), {service: []}))
}

function methodOf(rule: RuleInit | undefined, index: number) {
  const options = create(MethodOptionsSchema)
  if (rule) setExtension(options, http, ruleOf(rule) as ReturnType<typeof create<typeof HttpRuleSchema>>)
  return create(MethodDescriptorProtoSchema, {
    name: `M${index}`,
    inputType: `.${rule?.input ?? 'every.Every'}`,
    outputType: `.${rule?.output ?? 'every.Every'}`,
    options,
  })
}

function ruleOf({get, put, post, patch, delete: remove, custom, additional, response, body}: RuleInit): Message {
  const patterns = {get, put, post, patch, delete: remove, custom}
  const chosen = Object.entries(patterns).find(([, value]) => value !== undefined)
  const rule = create(HttpRuleSchema, {
    pattern: chosen && ({case: chosen[0], value: chosen[1]} as never),
    body: body ?? '',
    additionalBindings: additional?.map(ruleOf) as never,
  })
  if (response) withResponseBody(rule, response)
  return rule
}

/** The generated HttpRule may come from an http.proto without this field; then it is among the unknown fields. */
function withResponseBody(rule: Message, name: string): void {
  if ('responseBody' in rule) rule.responseBody = name
  else rule.$unknown = [{no: 12, wireType: 2, data: Uint8Array.of(name.length, ...new TextEncoder().encode(name))}]
}

import type {FileRegistry, Message} from '@bufbuild/protobuf'
import {type MessageReader, RequestDecoder, type RequestParts} from './requests.ts'
import {type Encoded, encodeResponse, responseJson} from './responses.ts'
import {type Binding, type BindingOptions, readBindings} from './rules/bindings.ts'
import type {Match, Unrouted} from './rules/router.ts'
import type {Unserved} from './rules/selection.ts'
import {readSchema} from './schema/schema.ts'

export interface TranscoderOptions extends BindingOptions {
  /** The bytes of a google.protobuf.FileDescriptorSet with all imports, or what protobuf-es made of it. */
  schema: Uint8Array | FileRegistry
  /** Whether unknown JSON fields and query parameters are dropped rather than refused: false unless given. */
  ignoreUnknown?: boolean | undefined
  /** The most values of one message of a request: 20,000 unless given. */
  maxValues?: number | undefined
}

/** HTTP requests to messages and back, by the google.api.http rules of one schema. */
export interface Transcoder {
  readonly registry: FileRegistry
  readonly bindings: readonly Binding[]
  /** What keeps the schema from being served, a line each: to be shown at start. */
  readonly problems: readonly string[]
  /** What the schema has beside `bindings`. */
  readonly unserved: readonly Unserved[]
  /** The binding for a request, by its raw path without the query. @throws Fault 400 for a path that is no UTF-8. */
  route(httpMethod: string, path: string): Match<Binding> | Unrouted
  /** The one message of a request. @throws Fault 400 or 415 */
  decodeRequest(match: Match<Binding>, parts: RequestParts): Message
  /** The messages of a client stream, one by one. @throws Fault 400 for what path or query have wrong. */
  readMessages(match: Match<Binding>, parts: RequestParts): MessageReader
  /** A whole answer. @throws Fault 500 for a message that has no JSON. */
  encodeResponse(binding: Binding, message: Message): Encoded
  /** The JSON of one message of a stream. @throws Fault 500 for a message that has no JSON. */
  encodeMessage(binding: Binding, message: Message): string
}

/** A transcoder for a schema, compiled here, once. @throws {Error} for bytes that are no complete FileDescriptorSet */
export function createTranscoder({
  schema,
  ignoreUnknown = false,
  maxValues,
  ...options
}: TranscoderOptions): Transcoder {
  const registry = schema instanceof Uint8Array ? readSchema(schema) : schema
  const {bindings, router, problems, unserved} = readBindings(registry, options)
  const reading = {registry, ignoreUnknown, maxValues}
  const decoders = new Map(bindings.map((binding) => [binding, new RequestDecoder(binding, reading)]))
  return {
    registry,
    bindings,
    problems,
    unserved,
    route: (httpMethod, path) => router.route(httpMethod, path),
    decodeRequest: ({binding, captures}, parts) => decoders.get(binding)!.decode(captures, parts),
    readMessages: ({binding, captures}, parts) => decoders.get(binding)!.reader(captures, parts),
    encodeResponse: (binding, message) => encodeResponse(binding, message, registry),
    encodeMessage: (binding, message) => responseJson(binding, message, registry),
  }
}

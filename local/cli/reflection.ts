import {
  create,
  type DescMethod,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import {BinaryReader, WireType} from '@bufbuild/protobuf/wire'
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_descriptor,
} from '@bufbuild/protobuf/wkt'
import {readSchema} from '../../src/transcoding/schema/schema.ts'

/** The names in the list_services_response of a ServerReflectionResponse; undefined where it is another one. */
export function servicesIn(response: Uint8Array): string[] | undefined {
  const [list] = fieldsOf(response, 6)
  return (
    list && fieldsOf(list, 1).flatMap((service) => fieldsOf(service, 1).map((name) => Buffer.from(name).toString()))
  )
}

/** The values of a field of bytes, of a text or of a message. */
function fieldsOf(message: Uint8Array, number: number): Uint8Array[] {
  const reader = new BinaryReader(message)
  const found: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag()
    if (no === number && wireType === WireType.LengthDelimited) found.push(reader.bytes())
    else reader.skip(wireType, no)
  }
  return found
}

/** Sends one message of a bidirectional method, and gives its first answer. @throws {Fault} */
export type Ask = (method: DescMethod, request: Message) => Promise<Message>

/**
 * The schema of `service`, with all that it imports, as a server tells it by reflection, v1 or v1alpha.
 * @throws {Fault} UNIMPLEMENTED for a server that has neither, and what else a call throws
 * @throws {Error} for a service that it does not have
 */
export async function reflectedSchema(service: string, ask: Ask): Promise<FileRegistry> {
  try {
    return await schemaBy(reflectionOf('grpc.reflection.v1'), service, ask)
  } catch (error) {
    if ((error as {code?: unknown}).code !== 'UNIMPLEMENTED') throw error
    return await schemaBy(reflectionOf('grpc.reflection.v1alpha'), service, ask)
  }
}

async function schemaBy(method: DescMethod, service: string, ask: Ask): Promise<FileRegistry> {
  const files = new Map<string, FileDescriptorProto>()
  const add = async (question: JsonValue) => {
    const answer = toJson(method.output, await ask(method, fromJson(method.input, question))) as Answer
    const {fileDescriptorResponse, errorResponse} = answer
    if (!fileDescriptorResponse) throw new Error(errorResponse?.errorMessage ?? 'The answer has no file')
    for (const bytes of fileDescriptorResponse.fileDescriptorProto ?? []) {
      const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(bytes, 'base64'))
      files.set(file.name, file)
    }
  }
  await add({fileContainingSymbol: service})
  for (;;) {
    const missing = [...files.values()].flatMap(({dependency}) => dependency).find((name) => !files.has(name))
    if (missing === undefined) break
    // Every implementation of protobuf has it, and some servers do not tell it.
    if (missing === 'google/protobuf/descriptor.proto') files.set(missing, file_google_protobuf_descriptor.proto)
    else await add({fileByFilename: missing})
  }
  return readSchema(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file: [...files.values()]})))
}

/** The parts of a ServerReflectionResponse that are read. */
interface Answer {
  readonly fileDescriptorResponse?: {readonly fileDescriptorProto?: readonly string[]}
  readonly errorResponse?: {readonly errorMessage?: string}
}

/** ServerReflectionInfo of grpc/reflection/v1/reflection.proto, with the fields that are used here. */
function reflectionOf(name: string): DescMethod {
  const text = (field: string, number: number) => ({name: field, number, type: 'TYPE_STRING', label, oneofIndex: 0})
  const part = (field: string, number: number, type: string) => {
    return {name: field, number, type: 'TYPE_MESSAGE', typeName: `.${name}.${type}`, label, oneofIndex: 0}
  }
  const label = 'LABEL_OPTIONAL'
  const file = {
    name: 'reflection.proto',
    package: name,
    syntax: 'proto3',
    messageType: [
      {
        name: 'ServerReflectionRequest',
        oneofDecl: [{name: 'message_request'}],
        field: [text('file_by_filename', 3), text('file_containing_symbol', 4), text('list_services', 7)],
      },
      {
        name: 'ServerReflectionResponse',
        oneofDecl: [{name: 'message_response'}],
        field: [
          part('file_descriptor_response', 4, 'FileDescriptorResponse'),
          part('error_response', 7, 'ErrorResponse'),
        ],
      },
      {
        name: 'FileDescriptorResponse',
        field: [{name: 'file_descriptor_proto', number: 1, type: 'TYPE_BYTES', label: 'LABEL_REPEATED'}],
      },
      {name: 'ErrorResponse', field: [{name: 'error_message', number: 2, type: 'TYPE_STRING', label}]},
    ],
    service: [
      {
        name: 'ServerReflection',
        method: [
          {
            name: 'ServerReflectionInfo',
            inputType: `.${name}.ServerReflectionRequest`,
            outputType: `.${name}.ServerReflectionResponse`,
            clientStreaming: true,
            serverStreaming: true,
          },
        ],
      },
    ],
  }
  const set = fromJson(FileDescriptorSetSchema, {file: [file]} as unknown as JsonValue)
  return readSchema(toBinary(FileDescriptorSetSchema, set)).getService(`${name}.ServerReflection`)!.methods[0]!
}

import {create, createFileRegistry, type DescMethod, fromBinary, type Message, toBinary} from '@bufbuild/protobuf'
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'
import type {Backend} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {Life} from '../core/life.ts'
import type {CallRuntime} from './call.ts'
import {invoke} from './calls/interceptors.ts'
import {callOf} from './service-client.ts'

/** A backend's schema from its server reflection. */
export interface Reflected {
  /** Full names of its services, except those of gRPC itself. */
  readonly services: readonly string[]
  /** The services that it lists, but for which it returns no file. */
  readonly missing: readonly string[]
  /** The files of the other services, with all imports. */
  readonly files: readonly FileDescriptorProto[]
}

/** Limit for the files of one backend, in bytes. */
const maxBytes = 64 * 1024 * 1024
/** Number of services that are requested in one call, because they may share files. */
const atOnce = 16

/** Services of gRPC itself, which a gateway does not serve. */
const own = /^grpc\.(?:reflection|health|channelz|binarylog|lb)\./

/**
 * Fetches the services of `backend` and their files by server reflection, in version 1 or else v1alpha.
 * @param timeout for each call, in ms
 * @throws {Fault} UNAVAILABLE when it cannot be reached, or has no server reflection
 */
export async function reflected(
  runtime: CallRuntime,
  life: Life,
  backend: Backend,
  timeout: number,
): Promise<Reflected> {
  for (const version of ['v1', 'v1alpha'] as const) {
    try {
      return await new Asking(runtime, life, backend, {version, timeout}).all()
    } catch (error) {
      const fault = Fault.from(error)
      if (fault.code === 'UNIMPLEMENTED' && version === 'v1') continue
      const isMissing = fault.code === 'UNIMPLEMENTED'
      throw new Fault('UNAVAILABLE', 'The schema of the backend is not to be had', {
        reason: 'SCHEMA_UNAVAILABLE',
        retryAfter: fault.retryAfter ?? 1,
        cause: fault.cause ?? error,
        hint: isMissing ? `${backend.url} has no server reflection` : `${backend.url}: ${fault.hint ?? fault.message}`,
      })
    }
  }
  throw new Error('There is no other version')
}

interface Version {
  readonly version: 'v1' | 'v1alpha'
  readonly timeout: number
}

/** A ServerReflectionRequest with one of its fields. */
type Question = {listServices: string} | {fileContainingSymbol: string} | {fileByFilename: string}

class Asking {
  readonly #ask: (questions: readonly Question[]) => Promise<Answer[]>
  readonly #files = new Map<string, FileDescriptorProto>()
  #bytes = 0

  constructor(runtime: CallRuntime, life: Life, backend: Backend, {version, timeout}: Version) {
    const method = methodOf(version)
    this.#ask = async (questions) => {
      const requests = questions.map((question) => toBinary(method.input, create(method.input, {...question})))
      const call = callOf(runtime, {life, backend, method, requests: () => requests}, {timeout})
      const answers: Answer[] = []
      for await (const answer of invoke(call)) answers.push(answer as Answer)
      return answers
    }
  }

  async all(): Promise<Reflected> {
    const listed = await this.#ask([{listServices: '*'}])
    const services = listed
      .flatMap(({listServicesResponse}) => listServicesResponse?.service ?? [])
      .map(({name}) => name)
    const wanted = new Set(services.filter((name) => !own.test(name)))
    const left = new Set(wanted)
    while (left.size > 0) {
      const names = [...left].slice(0, atOnce)
      await this.#gather(names.map((fileContainingSymbol) => ({fileContainingSymbol})))
      for (const name of [...names, ...[...this.#files.values()].flatMap(servicesOf)]) left.delete(name)
    }
    const found = new Set([...this.#files.values()].flatMap(servicesOf))
    for (let missing = this.#missing(); missing.length > 0; missing = this.#missing()) {
      const names = missing.slice(0, atOnce)
      await this.#gather(names.map((fileByFilename) => ({fileByFilename})))
      for (const name of names) {
        if (!this.#files.has(name)) throw new Fault('UNAVAILABLE', `Its server reflection does not give "${name}"`)
      }
    }
    return {
      services: [...wanted],
      missing: [...wanted].filter((name) => !found.has(name)),
      files: [...this.#files.values()],
    }
  }

  /** The missing imports, because some servers return a file without its imports. */
  #missing(): string[] {
    const imported = [...this.#files.values()].flatMap(({dependency}) => dependency)
    return [...new Set(imported)].filter((name) => !this.#files.has(name))
  }

  async #gather(questions: readonly Question[]): Promise<void> {
    for (const {fileDescriptorResponse} of await this.#ask(questions)) {
      for (const bytes of fileDescriptorResponse?.fileDescriptorProto ?? []) this.#add(bytes)
    }
  }

  #add(bytes: Uint8Array): void {
    this.#bytes += bytes.length
    if (this.#bytes > maxBytes) throw new Fault('UNAVAILABLE', `Its schema has more than ${maxBytes} bytes`)
    const file = fromBinary(FileDescriptorProtoSchema, bytes)
    if (!this.#files.has(file.name)) this.#files.set(file.name, file)
  }
}

function servicesOf(file: FileDescriptorProto): string[] {
  return file.service.map(({name}) => (file.package ? `${file.package}.${name}` : name))
}

/** The used fields of a ServerReflectionResponse. */
interface Answer extends Message {
  readonly fileDescriptorResponse?: {readonly fileDescriptorProto: readonly Uint8Array[]}
  readonly listServicesResponse?: {readonly service: readonly {readonly name: string}[]}
}

/**
 * The used part of grpc/reflection's reflection.proto, which is the same in both versions. Not generated, because protos in proto/ are
 * served.
 */
function methodOf(version: Version['version']): DescMethod {
  const scope = `.grpc.reflection.${version}`
  const field = (name: string, number: number, type: Type | string, label = Label.OPTIONAL) => {
    const kind = typeof type === 'string' ? {type: Type.MESSAGE, typeName: `${scope}.${type}`} : {type}
    const jsonName = name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
    return {name, number, label, jsonName, ...kind}
  }
  const file = create(FileDescriptorProtoSchema, {
    name: `grpc/reflection/${version}/reflection.proto`,
    package: `grpc.reflection.${version}`,
    syntax: 'proto3',
    messageType: [
      {
        name: 'Request',
        field: [
          field('file_by_filename', 3, Type.STRING),
          field('file_containing_symbol', 4, Type.STRING),
          field('list_services', 7, Type.STRING),
        ],
      },
      {
        name: 'Response',
        field: [field('file_descriptor_response', 4, 'Files'), field('list_services_response', 6, 'Services')],
      },
      {name: 'Files', field: [field('file_descriptor_proto', 1, Type.BYTES, Label.REPEATED)]},
      {name: 'Services', field: [field('service', 1, 'Named', Label.REPEATED)]},
      {name: 'Named', field: [field('name', 1, Type.STRING)]},
    ],
    service: [
      {
        name: 'ServerReflection',
        method: [
          {
            name: 'ServerReflectionInfo',
            inputType: `${scope}.Request`,
            outputType: `${scope}.Response`,
            clientStreaming: true,
            serverStreaming: true,
          },
        ],
      },
    ],
  })
  const service = createFileRegistry(file, () => undefined).getService(`grpc.reflection.${version}.ServerReflection`)!
  return service.methods[0]!
}

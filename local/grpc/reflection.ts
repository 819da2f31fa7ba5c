import {type DescFile, type DescService, toBinary} from '@bufbuild/protobuf'
import {nestedTypes} from '@bufbuild/protobuf/reflect'
import {FileDescriptorProtoSchema} from '@bufbuild/protobuf/wkt'
import {type Server, type ServerDuplexStream, status} from '@grpc/grpc-js'
import {ReflectionService} from '@grpc/reflection'

/** The parts of grpc.reflection's ServerReflectionRequest and -Response that are used, as proto-loader makes them. */
interface Request {
  messageRequest?:
    | 'fileByFilename'
    | 'fileContainingSymbol'
    | 'fileContainingExtension'
    | 'allExtensionNumbersOfType'
    | 'listServices'
  fileByFilename?: string
  fileContainingSymbol?: string
  fileContainingExtension?: {containingType: string; extensionNumber: number}
  allExtensionNumbersOfType?: string
}
type Answer =
  | {fileDescriptorResponse: {fileDescriptorProto: Uint8Array[]}}
  | {allExtensionNumbersResponse: {baseTypeName: string; extensionNumber: number[]}}
  | {listServicesResponse: {service: {name: string}[]}}
  | {errorResponse: {errorCode: status; errorMessage: string}}

type Call = ServerDuplexStream<Request, Answer & {validHost?: string; originalRequest: Request}>

/**
 * Server reflection, v1 and v1alpha, for `services`, so that tools such as grpcurl need no protos. Only the protocol comes from the
 * package: its own answers lack services without a package, and all options, such as google.api.http.
 */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const index = indexOf(services)
  const ServerReflectionInfo = (call: Call) => {
    call.on('data', (request: Request) => call.write({originalRequest: request, ...answer(request, index)}))
    call.on('end', () => call.end())
  }
  const addService: Server['addService'] = (definition) => server.addService(definition, {ServerReflectionInfo})
  new ReflectionService({}).addToServer({addService})
}

interface Index {
  services: readonly DescService[]
  files: Map<string, DescFile>
  /** The file of each message, enum, extension, service and method, by full name. */
  symbols: Map<string, DescFile>
  /** The file of each extension, by the number that it has in the message of that name. */
  extensions: Map<string, Map<number, DescFile>>
}

function indexOf(services: readonly DescService[]): Index {
  const index: Index = {services, files: new Map(), symbols: new Map(), extensions: new Map()}
  for (const service of services) gather(service.file, index)
  return index
}

function gather(file: DescFile, index: Index): void {
  if (index.files.has(file.proto.name)) return
  index.files.set(file.proto.name, file)
  for (const type of nestedTypes(file)) {
    index.symbols.set(type.typeName, file)
    if (type.kind === 'service') for (const {name} of type.methods) index.symbols.set(`${type.typeName}.${name}`, file)
    if (type.kind !== 'extension') continue
    const numbers = index.extensions.get(type.extendee.typeName) ?? new Map()
    index.extensions.set(type.extendee.typeName, numbers.set(type.number, file))
  }
  for (const dependency of file.dependencies) gather(dependency, index)
}

function answer(request: Request, {services, files, symbols, extensions}: Index): Answer {
  switch (request.messageRequest) {
    case 'listServices':
      return {listServicesResponse: {service: services.map(({typeName: name}) => ({name}))}}
    case 'fileByFilename':
      return fileAnswer(files.get(request.fileByFilename ?? ''))
    case 'fileContainingSymbol':
      return fileAnswer(symbols.get(request.fileContainingSymbol ?? ''))
    case 'fileContainingExtension': {
      const {containingType = '', extensionNumber = 0} = request.fileContainingExtension ?? {}
      return fileAnswer(extensions.get(containingType)?.get(extensionNumber))
    }
    case 'allExtensionNumbersOfType': {
      const baseTypeName = request.allExtensionNumbersOfType ?? ''
      if (!symbols.has(baseTypeName)) return fileAnswer(undefined)
      const extensionNumber = [...(extensions.get(baseTypeName)?.keys() ?? [])]
      return {allExtensionNumbersResponse: {baseTypeName, extensionNumber}}
    }
    default:
      return {errorResponse: {errorCode: status.UNIMPLEMENTED, errorMessage: 'No such request'}}
  }
}

/** `file` and all its imports, `file` first. */
function fileAnswer(file: DescFile | undefined): Answer {
  if (!file) return {errorResponse: {errorCode: status.NOT_FOUND, errorMessage: 'Not found'}}
  const files = new Set([file])
  for (const each of files) for (const dependency of each.dependencies) files.add(dependency)
  const fileDescriptorProto = Array.from(files, ({proto}) => toBinary(FileDescriptorProtoSchema, proto))
  return {fileDescriptorResponse: {fileDescriptorProto}}
}

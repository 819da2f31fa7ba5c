import {createRequire} from 'node:module'
import {dirname, join} from 'node:path'
import {create, createFileRegistry, fromBinary, getOption} from '@bufbuild/protobuf'
import {FileDescriptorProtoSchema, FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {credentials, makeClientConstructor, type ServiceDefinition} from '@grpc/grpc-js'
import {loadSync} from '@grpc/proto-loader'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {http} from '../../src/gen/google/api/annotations_pb.js'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {KindsService} from '../clients/kinds.ts'

const protos = join(dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json')), 'build/proto')

interface Answer {
  listServicesResponse?: {service: {name: string}[]}
  fileDescriptorResponse?: {fileDescriptorProto: Uint8Array[]}
  allExtensionNumbersResponse?: {baseTypeName: string}
  errorResponse?: {errorCode: number}
}

interface Stream extends AsyncIterable<Answer> {
  write(request: object): void
  end(): void
}

for (const version of ['v1', 'v1alpha'] as const) {
  test(`reflection ${version} has the services and their protos`, async (t) => {
    const backend = await startBackend({services: [new KindsService()]})
    const loaded = loadSync(join(protos, `grpc/reflection/${version}/reflection.proto`))
    const definition = loaded[`grpc.reflection.${version}.ServerReflection`] as ServiceDefinition
    const ServerReflection = makeClientConstructor(definition, 'ServerReflection')
    const client = new ServerReflection(backend.target, credentials.createInsecure())
    t.teardown(async () => {
      client.close()
      await backend.close(0)
    })
    const stream: Stream = client.ServerReflectionInfo?.()
    stream.write({listServices: ''})
    stream.write({fileContainingSymbol: 'ping.PingService'})
    stream.write({fileContainingSymbol: 'Repo.CreateRepo'})
    stream.write({fileContainingSymbol: 'none'})
    stream.write({fileByFilename: 'repo.proto'})
    stream.write({fileContainingExtension: {containingType: 'google.protobuf.MethodOptions', extensionNumber: 1}})
    stream.write({allExtensionNumbersOfType: 'ping.Pong'})
    stream.write({})
    stream.end()
    const answers: Answer[] = []
    for await (const answer of stream) answers.push(answer)
    const [services, ping, repo, none, named, extension, numbers, nothing] = answers
    const names = services?.listServicesResponse?.service.map(({name}) => name).sort()
    t.deepEqual(names, ['Repo', 'grpc.health.v1.Health', 'ping.PingService', 'test.Kinds'])
    const file = (ping?.fileDescriptorResponse?.fileDescriptorProto ?? []).map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    )
    t.is(file[0]?.name, 'ping/ping.proto')
    // Throws if an import is missing.
    const described = createFileRegistry(create(FileDescriptorSetSchema, {file: file.reverse()}))
    const {send, sendUpstream} = described.getService('ping.PingService')?.method ?? {}
    t.is(send?.input.typeName, 'ping.Request')
    t.deepEqual(sendUpstream && getOption(sendUpstream, http), getOption(PingService.method.sendUpstream, http))
    t.truthy(repo?.fileDescriptorResponse)
    t.is(none?.errorResponse?.errorCode, 5)
    t.deepEqual(named?.fileDescriptorResponse, repo?.fileDescriptorResponse)
    t.is(extension?.errorResponse?.errorCode, 5)
    t.is(numbers?.allExtensionNumbersResponse?.baseTypeName, 'ping.Pong')
    t.is(nothing?.errorResponse?.errorCode, 12)
  })
}

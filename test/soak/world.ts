import {randomFillSync} from 'node:crypto'
import type {DescService, Message} from '@bufbuild/protobuf'
import {crc32c} from '@node-rs/crc32'
import {type FaultProxy, startProxy} from '../../local/faults/proxy.ts'
import {type FaultServer, startFaultServer} from '../../local/faults/server.ts'
import type {CallContext, Handlers} from '../../local/grpc/implement.ts'
import {type GrpcServer, startServer} from '../../local/grpc/server.ts'
import {service} from '../../local/grpc/service.ts'
import {type MetadataServer, startMetadataServer} from '../../local/identity/metadata.ts'
import {Repo} from '../../local/services/repo.ts'
import {type StorageServer, startStorage} from '../../local/storage/server.ts'
import {buildSchema} from '../functions/gateway-schema.ts'
import {type Instance, startInstance} from './instance.ts'
import type {Random} from './random.ts'

export const bucket = 'soak'

/** Time limit for requests of the functions, in seconds. */
export const requestSeconds = 9
/** Limit for concurrent requests of the instance. */
export const mostRequests = 150
/** Limit for a body, in bytes. */
export const mostBody = 256 * 1024

const methods = (path: string) => `
  rpc Once(Note) returns (Note) {option (google.api.http) = {post: "/${path}/once" body: "*"};}
  rpc Look(Note) returns (Note) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = {get: "/${path}/look"};
  }
  rpc Down(Note) returns (stream Note) {option (google.api.http) = {get: "/${path}/down"};}
  rpc Up(stream Note) returns (Note) {option (google.api.http) = {post: "/${path}/up" body: "*"};}
  rpc Both(stream Note) returns (stream Note) {option (google.api.http) = {post: "/${path}/both" body: "*"};}`

/** Two services with a method of each kind: one on a server that breaks HTTP/2, one on a real gRPC server. */
const proto = `
syntax = "proto3";
package soak;
import "google/api/annotations.proto";
message Note {
  string text = 1;
  int32 count = 2;
  string filler = 3;
}
service Sharp {${methods('sharp')}
}
service Real {${methods('real')}
}`

type Note = Message & {text: string; count: number; filler: string}

/** How often each request was executed, by id. */
export class Executions {
  readonly #of = new Map<string, number>()

  count(id: string): void {
    this.#of.set(id, (this.#of.get(id) ?? 0) + 1)
  }

  of(id: string): number {
    return this.#of.get(id) ?? 0
  }
}

/** All processes and servers of a phase. */
export interface World extends AsyncDisposable {
  readonly instance: Instance
  /** Behind `network.sharp`: can break HTTP/2 and gRPC. */
  readonly sharp: FaultServer
  /** Behind `network.real`: gRPC, with the check of ID tokens. */
  readonly real: {readonly server: GrpcServer; restart(graceMs: number): Promise<void>}
  readonly storage: StorageServer
  readonly metadata: MetadataServer
  readonly network: Readonly<Record<'sharp' | 'real' | 'storage', FaultProxy>>
  readonly repo: Repo
  readonly executions: Executions
  /** Size and CRC32C by name. */
  readonly objects: ReadonlyMap<string, {readonly size: number; readonly crc32c: string}>
}

export async function startWorld(random: Random): Promise<World> {
  using schema = buildSchema({'soak.proto': proto})
  const executions = new Executions()
  const metadata = await startMetadataServer()
  const storage = await startStorage()
  const sharp = await startFaultServer({methods: sharpMethods})
  const repo = new Repo()
  const options = {
    iam: metadata,
    services: [repo, service(schema.registry.getService('soak.Real')!, realMethods(executions))],
  }
  let server = await startServer(options)
  const {port, url} = server
  const network = {
    sharp: await startProxy({target: () => sharp.port}),
    real: await startProxy({target: port}),
    storage: await startProxy({target: Number(new URL(storage.url).port)}),
  }
  const objects = await putObjects(storage, random)
  const instance = await startInstance({
    ...metadata.env,
    BACKEND_URL: network.sharp.url,
    BACKEND_AUDIENCE: 'none',
    BACKEND_URL_REAL: network.real.url,
    BACKEND_AUDIENCE_REAL: url,
    BACKEND_URL_REPO: network.real.url,
    BACKEND_AUDIENCE_REPO: url,
    BACKEND_CONNECT_TIMEOUT_SECONDS: '3',
    STORAGE_EMULATOR_HOST: network.storage.url,
    STORAGE_STALL_SECONDS: '1',
    UPLOAD_BUCKETS: bucket,
    GATEWAY_DESCRIPTORS: schema.path,
    GATEWAY_MAX_BODY_BYTES: String(mostBody),
    GATEWAY_SERVICES: 'soak.Sharp,soak.Real',
    MAX_CONCURRENT_REQUESTS: String(mostRequests),
    CLOUD_RUN_TIMEOUT_SECONDS: String(requestSeconds),
    LOG_LEVEL: 'info',
  })
  return {
    instance,
    sharp,
    real: {
      get server() {
        return server
      },
      async restart(graceMs) {
        await server.close(graceMs)
        server = await startServer({...options, port, audience: url})
      },
    },
    storage,
    metadata,
    network,
    repo,
    executions,
    objects,
    async [Symbol.asyncDispose]() {
      instance.kill()
      await instance.exited
      await Promise.all(Object.values(network).map((proxy) => proxy.close()))
      await Promise.all([server.close(0), sharp.close(), storage.close(), metadata.close()])
    },
  }
}

/** Each method echoes its request: text is the first field, and the answers are those of the real service. */
const sharpMethods = {
  '/soak.Sharp/Once': ([request = new Uint8Array()]: readonly Uint8Array[]) => [request],
  '/soak.Sharp/Look': ([request = new Uint8Array()]: readonly Uint8Array[]) => [request],
  '/soak.Sharp/Down': ([request = new Uint8Array()]: readonly Uint8Array[]) => Array.from({length: 5}, () => request),
  '/soak.Sharp/Up': (requests: readonly Uint8Array[]) => [requests.at(-1) ?? new Uint8Array()],
  '/soak.Sharp/Both': (requests: readonly Uint8Array[]) => requests,
}

function realMethods(executions: Executions): Handlers<DescService> {
  const executed = ({requestId}: CallContext) => executions.count(requestId)
  const methods = {
    once(note: Note, context: CallContext) {
      executed(context)
      return note
    },
    look: (note: Note) => note,
    async *down(note: Note, context: CallContext) {
      executed(context)
      for (let count = 0; count < note.count; count++) yield {...note, count}
    },
    async up(notes: AsyncIterable<Note>, context: CallContext) {
      let last: Note | undefined
      for await (const note of notes) last = note
      executed(context)
      return last ?? {}
    },
    async *both(notes: AsyncIterable<Note>, context: CallContext) {
      executed(context)
      yield* notes
    },
  }
  return methods as never
}

async function putObjects(storage: StorageServer, random: Random): Promise<World['objects']> {
  const objects = new Map<string, {size: number; crc32c: string}>()
  for (const size of [0, 1, 1000, 65_536, 262_144, 262_145, random.size(1e5, 1e6), random.size(1e6, 4e6)]) {
    const content = randomFillSync(Buffer.alloc(size))
    const name = `object-${objects.size}`
    await storage.put(bucket, name, content)
    objects.set(name, {size, crc32c: crcOf(content)})
  }
  return objects
}

/** As Storage formats it. */
export function crcOf(content: Buffer): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32c(content))
  return bytes.toString('base64')
}

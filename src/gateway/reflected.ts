import {randomUUID} from 'node:crypto'
import {clearField, clone, create, createRegistry, equals, type FileRegistry, toBinary} from '@bufbuild/protobuf'
import {type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {reflected} from '../clients/reflection.ts'
import type {Runtime} from '../clients/runtime.ts'
import {type Backend, type Config, ConfigError} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {type Life, over} from '../core/life.ts'
import {readSchema} from '../transcoding/schema/schema.ts'

/** Timeout of each request to a backend's server reflection, in ms. */
const patience = 5000
/** Minimum interval between two fetches of a schema that may be outdated, in ms. */
const pause = 10_000

/** Caches what is made of the schema from the backends' server reflection. It is fetched during a request, and shared by all requests. */
export class ReflectedSchema<Made> {
  readonly #runtime: Runtime
  readonly #maxAge: number
  readonly #make: (registry: FileRegistry) => Made
  #made: Made | undefined
  #bytes = new Uint8Array()
  /** When the schema was fetched, and when it has to be fetched again, in ms since the epoch. */
  #askedAt = 0
  #askAgainAt = 0
  #pending: Promise<Made> | undefined

  /**
   * @param maxAge how long a schema is cached, in ms
   * @param make makes the cached value from a schema; throws if the schema cannot be served
   */
  constructor(runtime: Runtime, maxAge: number, make: (registry: FileRegistry) => Made) {
    this.#runtime = runtime
    this.#maxAge = maxAge
    this.#make = make
  }

  /** The cached value; undefined if the schema has to be fetched first. */
  get current(): Made | undefined {
    return Date.now() < this.#askAgainAt ? this.#made : undefined
  }

  /** Marks the schema as possibly outdated, so that it is fetched again soon. */
  doubt(): void {
    this.#askAgainAt = Math.min(this.#askAgainAt, this.#askedAt + pause)
  }

  /**
   * The value from the backends' current schema, or from the last one if the backends are unavailable.
   * @throws {Fault} 503 when there is no schema
   */
  async get(): Promise<Made> {
    this.#pending ??= this.#ask().finally(() => {
      this.#pending = undefined
    })
    return await this.#pending
  }

  async #ask(): Promise<Made> {
    const {log} = this.#runtime
    try {
      const bytes = await schemaOf(this.#runtime)
      if (this.#made === undefined || Buffer.compare(bytes, this.#bytes) !== 0) {
        this.#made = this.#make(readSchema(bytes))
        this.#bytes = bytes
      }
      this.#askedAt = Date.now()
      this.#askAgainAt = this.#askedAt + this.#maxAge
      return this.#made
    } catch (error) {
      const fault = faultOf(error)
      if (this.#made === undefined) throw fault
      log.warn(
        {err: fault.cause},
        `The schema could not be updated, the previous one is used: ${fault.hint ?? fault.message}`,
      )
      this.#askedAt = Date.now()
      this.#askAgainAt = this.#askedAt + pause
      return this.#made
    }
  }
}

function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error
  // Problems of the schema are for the operator, not for callers.
  return new Fault('UNAVAILABLE', 'The schema of the backends cannot be served', {
    reason: 'SCHEMA_UNSERVABLE',
    retryAfter: 1,
    cause: error,
    hint: error instanceof Error ? error.message : String(error),
  })
}

/** The schema of all backends, as the bytes of a FileDescriptorSet. @throws {Fault} 503, {ConfigError} for contradicting files */
async function schemaOf(runtime: Runtime): Promise<Uint8Array<ArrayBuffer>> {
  const {backends} = runtime.config
  const end = new AbortController()
  const life: Life = {
    signal: end.signal,
    deadline: Number.POSITIVE_INFINITY,
    id: randomUUID(),
    trace: {},
    log: runtime.log,
    track: (work) => work,
    note() {},
  }
  try {
    const all = await Promise.all(
      backends.map(async (backend) => ({backend, ...(await reflected(runtime, life, backend, patience))})),
    )
    for (const {backend, missing} of all) {
      if (missing.length > 0)
        runtime.log.warn(`${backend.url} lists services without giving their descriptors: ${missing.join(', ')}`)
    }
    return merged(all.map((one) => ({backend: one.backend, files: filesFor(runtime, one)})))
  } finally {
    end.abort(over)
  }
}

interface Own {
  readonly backend: Backend
  readonly files: readonly FileDescriptorProto[]
}

/** The files of the services that are called at this backend, with imports. Other services of it are ignored. */
function filesFor({config}: Runtime, {backend, services, files}: Own & {readonly services: readonly string[]}) {
  const called = new Set(services.filter((name) => isCalledAt(config, name, backend)))
  const byName = new Map(files.map((file) => [file.name, file]))
  const needed = new Set<FileDescriptorProto>()
  const add = (file: FileDescriptorProto) => {
    if (needed.has(file)) return
    needed.add(file)
    for (const name of file.dependency) add(byName.get(name)!)
  }
  const nameOf = (file: FileDescriptorProto, name: string) => (file.package ? `${file.package}.${name}` : name)
  for (const file of files) if (file.service.some(({name}) => called.has(nameOf(file, name)))) add(file)
  return [...needed]
}

function isCalledAt(config: Config, name: string, {url}: Backend): boolean {
  try {
    return config.backendOf(name).url === url
  } catch {
    // Neither BACKEND_URL nor the service's own URL is set.
    return false
  }
}

/**
 * Merges the files of all backends into one set. Files that come with the compiler or from Google differ slightly between versions, so
 * the first one is used.
 * @throws {ConfigError} naming a file that differs between two backends
 */
function merged(all: readonly Own[]): Uint8Array<ArrayBuffer> {
  const found = new Map<string, {readonly file: FileDescriptorProto; readonly backend: Backend}>()
  for (const {backend, files} of all) {
    for (const file of files) {
      const other = found.get(file.name)
      if (!other) found.set(file.name, {file, backend})
      else if (!/^google\//.test(file.name) && !isSame(other.file, file)) {
        throw new ConfigError(`${other.backend.url} and ${backend.url} have two different files "${file.name}"`)
      }
    }
  }
  const file = [...found.values()].map(({file}) => file).sort((left, right) => (left.name < right.name ? -1 : 1))
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file}))
}

function isSame(left: FileDescriptorProto, right: FileDescriptorProto): boolean {
  const registry = createRegistry()
  return equals(FileDescriptorProtoSchema, bare(left), bare(right), {unknown: true, registry})
}

/** `file` without comments and without file options, which are about generated code. */
function bare(file: FileDescriptorProto): FileDescriptorProto {
  const copy = clone(FileDescriptorProtoSchema, file)
  clearField(copy, FileDescriptorProtoSchema.field.sourceCodeInfo)
  clearField(copy, FileDescriptorProtoSchema.field.options)
  return copy
}

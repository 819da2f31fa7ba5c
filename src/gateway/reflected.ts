import {randomUUID} from 'node:crypto'
import {clearField, clone, create, createRegistry, equals, type FileRegistry, toBinary} from '@bufbuild/protobuf'
import {type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {reflected} from '../clients/reflection.ts'
import type {Runtime} from '../clients/runtime.ts'
import {type Backend, type Config, ConfigError} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {type Life, over} from '../core/life.ts'
import {readSchema} from '../transcoding/schema/schema.ts'

/** Timeout for each question to a backend's server reflection, in ms. */
const patience = 5000
/** How soon a schema is asked for again that may be out of date, or that could not be had while another is there, in ms. */
const pause = 10_000

/** Keeps what is made of the schema that the backends have by server reflection: asked for in requests, and shared by all. */
export class ReflectedSchema<Made> {
  readonly #runtime: Runtime
  readonly #maxAge: number
  readonly #make: (registry: FileRegistry) => Made
  #made: Made | undefined
  #bytes = new Uint8Array()
  /** When the schema was asked for, and when it is to be asked for again, in ms since the epoch. */
  #askedAt = 0
  #askAgainAt = 0
  #pending: Promise<Made> | undefined

  /**
   * @param maxAge how long what is made is used without asking again, in ms
   * @param make what is made of a schema; throws for one that cannot be served
   */
  constructor(runtime: Runtime, maxAge: number, make: (registry: FileRegistry) => Made) {
    this.#runtime = runtime
    this.#maxAge = maxAge
    this.#make = make
  }

  /** What is made of the schema; undefined when it has yet to be asked for, or again. */
  get current(): Made | undefined {
    return Date.now() < this.#askAgainAt ? this.#made : undefined
  }

  /** Has the schema asked for again soon: something in it seems to be no longer as it is. */
  doubt(): void {
    this.#askAgainAt = Math.min(this.#askAgainAt, this.#askedAt + pause)
  }

  /**
   * What is made of the schema that the backends have now; of the last one, if they cannot be asked.
   * @throws {Fault} 503 when there is none
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
      log.warn({err: fault.cause}, `The schema is that of before: ${fault.hint ?? fault.message}`)
      this.#askedAt = Date.now()
      this.#askAgainAt = this.#askedAt + pause
      return this.#made
    }
  }
}

function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error
  // What is wrong with the schema is for the operator, not for callers.
  return new Fault('UNAVAILABLE', 'The schema of the backends cannot be served', {
    reason: 'SCHEMA_UNSERVABLE',
    retryAfter: 1,
    cause: error,
    hint: error instanceof Error ? error.message : String(error),
  })
}

/** The schema of all backends, as the bytes of a FileDescriptorSet. @throws {Fault} 503, {ConfigError} for what contradicts */
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
        runtime.log.warn(`${backend.url} lists services, and does not give them: ${missing.join(', ')}`)
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

/** The files of the services that are called at this backend, with their imports: it may have others, for other backends. */
function filesFor({config}: Runtime, {backend, services, files}: Own & {readonly services: readonly string[]}) {
  const called = new Set(services.filter((name) => isCalledAt(config, name, backend)))
  const byName = new Map(files.map((file) => [file.name, file]))
  const wanted = new Set<FileDescriptorProto>()
  const add = (file: FileDescriptorProto) => {
    if (wanted.has(file)) return
    wanted.add(file)
    for (const name of file.dependency) add(byName.get(name)!)
  }
  const nameOf = (file: FileDescriptorProto, name: string) => (file.package ? `${file.package}.${name}` : name)
  for (const file of files) if (file.service.some(({name}) => called.has(nameOf(file, name)))) add(file)
  return [...wanted]
}

function isCalledAt(config: Config, name: string, {url}: Backend): boolean {
  try {
    return config.backendOf(name).url === url
  } catch {
    // There is no BACKEND_URL, and this service has no URL of its own.
    return false
  }
}

/**
 * One set of the files of all. What comes with a compiler or from Google differs in what nobody sees, from version to version: the
 * first one holds.
 * @throws {ConfigError} naming the file that two backends have in two forms
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

/** Without comments, and the options of the file: they are about generated code. */
function bare(file: FileDescriptorProto): FileDescriptorProto {
  const copy = clone(FileDescriptorProtoSchema, file)
  clearField(copy, FileDescriptorProtoSchema.field.sourceCodeInfo)
  clearField(copy, FileDescriptorProtoSchema.field.options)
  return copy
}

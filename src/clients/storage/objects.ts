import type {Storage} from '@google-cloud/storage'
import {Fault} from '../../core/fault.ts'
import {within} from '../../core/waiting.ts'
import type {CredentialsSource} from '../identity/credentials.ts'
import {Backoff} from './backoff.ts'
import {KeptConnections} from './connections.ts'
import {Crc32c} from './crc32c.ts'
import {getObject, needsNoToken, type ObjectName, piecesOf, quoted, type Source, textOf} from './request.ts'
import {type NewObject, newSession} from './sessions.ts'

/** One generation of an object: its metadata and its bytes belong together. */
export interface ObjectVersion extends ObjectName {
  readonly generation: string
  /** In bytes, as stored. */
  readonly size: number
  /** Base64 of the big-endian CRC32C of the bytes as stored. */
  readonly crc32c: string
}

/** A generation of an object, with the metadata that its writers set. */
export interface DescribedVersion extends ObjectVersion {
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
}

/** The metadata fields that a reader needs. */
const versionFields = 'generation,size,crc32c'

const crcOfNothing = new Crc32c().toString()

/** Options of a reader. */
export interface StorageOptions {
  readonly credentials: CredentialsSource
  readonly projectId: string | undefined
  /** Timeout for a response of Storage, and for each pause between two chunks of its body, in ms. */
  readonly storageStall: number
  /** The base URL of an emulator in place of Google's Storage. */
  readonly storageEmulator: string | undefined
}

/** The requested metadata fields of an object. */
interface Said {
  readonly generation?: string
  readonly size?: string
  readonly crc32c?: string
  readonly contentType?: string
  readonly metadata?: Readonly<Record<string, string>>
}

/** Reads objects of Storage. The library is loaded at first use. */
export class StorageReader {
  readonly #options: StorageOptions
  readonly #connections = new KeptConnections()
  #library: Promise<Storage> | undefined

  constructor(options: StorageOptions) {
    this.#options = options
  }

  /** Google's Storage client. A failure to make it is not cached. */
  client(): Promise<Storage> {
    this.#library ??= this.#load().catch((error) => {
      this.#library = undefined
      throw error
    })
    return this.#library
  }

  /** Closes the keep-alive connections. The next read opens new ones. */
  close(): void {
    this.#connections.close()
  }

  async #load(): Promise<Storage> {
    const {Storage} = await import('@google-cloud/storage')
    // Any project will do: our requests name none, and without one the library runs the gcloud command.
    const {projectId = 'unknown', credentials, storageEmulator} = this.#options
    const apiEndpoint = storageEmulator && new URL(storageEmulator).origin
    const plain = new Storage({projectId, ...(apiEndpoint && {apiEndpoint})})
    return needsNoToken(plain) ? plain : new Storage({projectId, authClient: await (await credentials()).client()})
  }

  async #source(): Promise<Source> {
    const {storageStall: stall, storageEmulator: emulator} = this.#options
    return {storage: await this.client(), emulator, connections: this.#connections, stall}
  }

  /**
   * Reads the metadata of an object.
   * @throws {Fault} NOT_FOUND, PERMISSION_DENIED, or FAILED_PRECONDITION (412) for a generation that does not exist
   */
  async versionOf(signal: AbortSignal, name: ObjectName): Promise<ObjectVersion> {
    return (await this.#version(signal, name, versionFields)).version
  }

  /**
   * As versionOf(), with the object's type and its own metadata.
   * @throws {Fault} as versionOf()
   */
  async describedVersionOf(signal: AbortSignal, name: ObjectName): Promise<DescribedVersion> {
    const {version, said} = await this.#version(signal, name, `${versionFields},contentType,metadata`)
    return {...version, contentType: said.contentType ?? '', metadata: said.metadata ?? {}}
  }

  /**
   * Creates a resumable upload, and returns the URL for its bytes.
   * @throws {Fault} PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE
   */
  async newSession(signal: AbortSignal, given: NewObject): Promise<string> {
    const backoff = new Backoff('Asking Storage failed')
    for (;;) {
      try {
        return await newSession(signal, await within(signal, this.#source()), given, backoff.again)
      } catch (error) {
        await backoff.failed(error, signal)
      }
    }
  }

  async #version(signal: AbortSignal, name: ObjectName, fields: string): Promise<{version: ObjectVersion; said: Said}> {
    const {bucket, object, generation: requested} = name
    try {
      const said = await this.#metadataOf(signal, name, fields)
      const {generation, crc32c} = said
      // Emulators that write proto3 JSON leave a size of 0 out.
      const size = said.size ?? (crc32c === crcOfNothing ? '0' : '')
      if (!generation || !crc32c || !/^\d+$/.test(size)) {
        throw new Fault('FAILED_PRECONDITION', `Storage gives no size and checksum for ${quoted(name)}`)
      }
      return {version: {bucket, object, generation, size: Number(size), crc32c}, said}
    } catch (error) {
      if (!requested || !(error instanceof Fault) || error.code !== 'NOT_FOUND') throw error
      const live = await this.versionOf(signal, {bucket, object})
      throw new Fault('FAILED_PRECONDITION', `${quoted(name)} has no generation ${requested}`, {
        http: 412,
        reason: 'GENERATION_MISMATCH',
        metadata: {liveGeneration: live.generation},
      })
    }
  }

  async #metadataOf(signal: AbortSignal, name: ObjectName, fields: string): Promise<Said> {
    const query = new URLSearchParams({fields})
    if (name.generation) query.set('generation', name.generation)
    const backoff = new Backoff('Asking Storage failed')
    for (;;) {
      try {
        const source = await within(signal, this.#source())
        const response = await getObject(signal, source, {name, query, fresh: backoff.again})
        return JSON.parse(await textOf(response, source.stall))
      } catch (error) {
        await backoff.failed(error, signal)
      }
    }
  }

  /**
   * All bytes of an object, as stored. A read that breaks, stalls or ends early is resumed at that place, from the same
   * generation.
   *
   * The library's createReadStream is not used: it never resumes and never times out, takes a short body for a success,
   * breaks every other read of the process when one fails, and ends the process after a 503 on Node 24
   * (googleapis/google-cloud-node#8670).
   *
   * A piece may be used only until the next one is requested: its buffer is used again.
   * @throws {Fault} UNAVAILABLE after too many failed attempts, ABORTED when the generation no longer exists
   */
  async *readReusing(signal: AbortSignal, version: ObjectVersion): AsyncGenerator<Buffer> {
    const backoff = new Backoff(`Reading ${quoted(version)} broke off`)
    let offset = 0
    while (offset < version.size) {
      try {
        for await (const piece of this.#bytesFrom(signal, version, offset, backoff.again)) {
          backoff.succeeded()
          offset += piece.length
          if (offset > version.size)
            throw new Fault('DATA_LOSS', `${quoted(version)} is longer than its size`, {http: 502})
          yield piece
        }
        if (offset < version.size) throw new Error(`The answer ended at byte ${offset} of ${version.size}`)
      } catch (error) {
        await backoff.failed(error, signal)
      }
    }
  }

  /**
   * As readReusing(), with pieces that are copies.
   * @throws {Fault} as readReusing()
   */
  async *read(signal: AbortSignal, version: ObjectVersion): AsyncGenerator<Buffer> {
    for await (const piece of this.readReusing(signal, version)) yield Buffer.from(piece)
  }

  async *#bytesFrom(signal: AbortSignal, version: ObjectVersion, from: number, fresh: boolean) {
    const query = new URLSearchParams({alt: 'media', generation: version.generation})
    const headers: Record<string, string> = from > 0 ? {range: `bytes=${from}-`} : {}
    try {
      const name = {bucket: version.bucket, object: version.object}
      const source = await within(signal, this.#source())
      const response = await getObject(signal, source, {name, query, headers, fresh})
      if (from > 0 && !response.headers['content-range']?.startsWith(`bytes ${from}-`)) {
        response.destroy()
        throw new Error(
          `Storage answered a range from ${from} with ${response.headers['content-range'] ?? 'all bytes'}`,
        )
      }
      yield* piecesOf(response, source.stall)
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'NOT_FOUND') throw error
      throw new Fault('ABORTED', `${quoted(version)} was replaced or deleted while it was read`, {cause: error})
    }
  }
}

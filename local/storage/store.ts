import {randomUUID} from 'node:crypto'
import {linkSync, mkdtempSync, openSync, rm} from 'node:fs'
import {rm as remove} from 'node:fs/promises'
import {join} from 'node:path'
import {StorageError} from './error.ts'
import {
  type BucketMetadata,
  type BucketOptions,
  etagOf,
  type ObjectMetadata,
  type ObjectOptions,
  patched,
  writableOf,
} from './resource.ts'
import {type Checksums, Draft} from './uploads/draft.ts'

/** One generation of an object: its metadata now, and its bytes, which never change. */
export interface Version {
  metadata: ObjectMetadata
  readonly path: string
}

/** A bucket: all readable generations of each object, oldest first. */
export interface Bucket {
  metadata: BucketMetadata
  readonly objects: Map<string, Version[]>
}

/** The place of an object that exists or will be created. */
export interface ObjectName {
  readonly bucket: string
  readonly object: string
}

/** Called just before a change, with the live version. Throws to prevent the change. */
export type Check = (live: Version | undefined) => void

/**
 * Buckets and objects: names and metadata in memory, bytes in files of its own folder. Every change is one
 * synchronous step, so no reader sees a partial change.
 */
export class Store {
  readonly #dir: string
  readonly #buckets = new Map<string, Bucket>()
  readonly #origin: string
  readonly #onFinalized: (object: ObjectMetadata) => void
  #generation = 0

  /**
   * `dir` is where the folder is created, which `close` removes. `origin` is the start of links in metadata. `onFinalized` is
   * called with each new generation of an object.
   */
  constructor(dir: string, origin: string, onFinalized: (object: ObjectMetadata) => void = () => {}) {
    this.#dir = mkdtempSync(join(dir, 'storage-'))
    this.#origin = origin
    this.#onFinalized = onFinalized
  }

  get buckets(): Bucket[] {
    return [...this.#buckets.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  }

  bucket(name: string): Bucket {
    const bucket = this.#buckets.get(name)
    if (!bucket) throw new StorageError(404, 'The specified bucket does not exist.')
    return bucket
  }

  createBucket(name: string, options: BucketOptions = {}): BucketMetadata {
    if (this.#buckets.has(name)) {
      throw new StorageError(409, 'Your previous request to create the named bucket succeeded and you already own it.')
    }
    const now = new Date().toISOString()
    const metadata: BucketMetadata = {
      location: 'US',
      storageClass: 'STANDARD',
      ...options,
      kind: 'storage#bucket',
      id: name,
      selfLink: `${this.#origin}/storage/v1/b/${encodeURIComponent(name)}`,
      name,
      projectNumber: '0',
      metageneration: '1',
      etag: 'CAE=',
      timeCreated: now,
      updated: now,
    }
    this.#buckets.set(name, {metadata, objects: new Map()})
    return metadata
  }

  hasBucket(name: string): boolean {
    return this.#buckets.has(name)
  }

  patchBucket(name: string, patch: object): BucketMetadata {
    const bucket = this.bucket(name)
    const metageneration = String(Number(bucket.metadata.metageneration) + 1)
    const {kind, id, projectNumber, timeCreated, selfLink} = bucket.metadata
    bucket.metadata = {
      ...patched(bucket.metadata, patch),
      ...{kind, id, name, projectNumber, timeCreated, selfLink, metageneration},
      updated: new Date().toISOString(),
    }
    return bucket.metadata
  }

  deleteBucket(name: string): void {
    if (this.bucket(name).objects.size > 0) throw new StorageError(409, 'The bucket you tried to delete is not empty.')
    this.#buckets.delete(name)
  }

  /** The requested generation, or else the live one; undefined if it does not exist. */
  peek({bucket, object}: ObjectName, generation?: string): Version | undefined {
    const versions = this.bucket(bucket).objects.get(object) ?? []
    return versions.find(({metadata}) => (generation ? metadata.generation === generation : !metadata.timeDeleted))
  }

  /** The requested generation, or else the live one. */
  find(name: ObjectName, generation?: string): Version {
    const version = this.peek(name, generation)
    if (!version) throw noSuchObject(name, generation)
    return version
  }

  /** A descriptor of the version's bytes. It stays readable even if the generation is overwritten or deleted. */
  open(version: Version): number {
    // Synchronous, so that nothing can remove the version between finding it and opening its file.
    return openSync(version.path, 'r')
  }

  draft(): Promise<Draft> {
    return Draft.create(this.#newPath())
  }

  /** Makes the bytes of a finished draft the live generation of `name`. */
  publish(draft: Draft, name: ObjectName, about: ObjectOptions & Checksums, check: Check): ObjectMetadata {
    check(this.peek(name))
    return this.#add(name, {path: draft.path, size: draft.size, about})
  }

  /** Makes the bytes of `source` also the live generation of `name`. */
  copy(source: Version, name: ObjectName, about: ObjectOptions, check: Check): ObjectMetadata {
    check(this.peek(name))
    const path = this.#newPath()
    linkSync(source.path, path)
    const {crc32c, md5Hash, size} = source.metadata
    return this.#add(name, {path, size: Number(size), about: {...about, crc32c, md5Hash}})
  }

  patch(version: Version, patch: object): ObjectMetadata {
    const old = version.metadata
    const metageneration = Number(old.metageneration) + 1
    version.metadata = {
      ...patched(old, writableOf(patch)),
      metageneration: String(metageneration),
      etag: etagOf(Number(old.generation), metageneration),
      updated: new Date().toISOString(),
    }
    return version.metadata
  }

  /** Deletes the live generation, which a bucket with versioning keeps as an old one, or permanently deletes the given generation. */
  delete(name: ObjectName, generation: string | undefined, check: Check): void {
    const version = this.find(name, generation)
    check(version)
    if (generation) this.#remove(name, version)
    else this.#retire(name, version)
  }

  async close(): Promise<void> {
    this.#buckets.clear()
    await remove(this.#dir, {recursive: true, force: true})
  }

  #add(name: ObjectName, bytes: {path: string; size: number; about: ObjectOptions & Checksums}): ObjectMetadata {
    const live = this.peek(name)
    if (live) this.#retire(name, live)
    const generation = this.#nextGeneration()
    const metadata = this.#describe(name, generation, bytes)
    const {objects} = this.bucket(name.bucket)
    const versions = objects.get(name.object) ?? []
    versions.push({metadata, path: bytes.path})
    objects.set(name.object, versions)
    this.#onFinalized(metadata)
    return metadata
  }

  #describe(
    {bucket, object}: ObjectName,
    generation: number,
    {size, about}: {size: number; about: ObjectOptions & Checksums},
  ): ObjectMetadata {
    const now = new Date().toISOString()
    const path = `/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(object)}`
    return {
      kind: 'storage#object',
      id: `${bucket}/${object}/${generation}`,
      selfLink: `${this.#origin}${path}`,
      mediaLink: `${this.#origin}/download${path}?generation=${generation}&alt=media`,
      name: object,
      bucket,
      generation: String(generation),
      metageneration: '1',
      contentType: 'application/octet-stream',
      storageClass: 'STANDARD',
      size: String(size),
      ...about,
      etag: etagOf(generation, 1),
      timeCreated: now,
      updated: now,
      timeStorageClassUpdated: now,
    }
  }

  /** Ends a live generation. A bucket with versioning keeps its bytes. */
  #retire(name: ObjectName, version: Version): void {
    if (this.bucket(name.bucket).metadata.versioning?.enabled) {
      version.metadata = {...version.metadata, timeDeleted: new Date().toISOString()}
    } else {
      this.#remove(name, version)
    }
  }

  #remove({bucket, object}: ObjectName, version: Version): void {
    const {objects} = this.bucket(bucket)
    const rest = (objects.get(object) ?? []).filter((other) => other !== version)
    if (rest.length > 0) objects.set(object, rest)
    else objects.delete(object)
    // A file that is still there is removed with the folder.
    rm(version.path, () => {})
  }

  /** A new generation number: microseconds since 1970, as Google's, and always greater than the one before. */
  #nextGeneration(): number {
    const now = Math.floor((performance.timeOrigin + performance.now()) * 1000)
    this.#generation = Math.max(this.#generation + 1, now)
    return this.#generation
  }

  #newPath(): string {
    return join(this.#dir, randomUUID())
  }
}

function noSuchObject({bucket, object}: ObjectName, generation?: string): StorageError {
  return new StorageError(404, `No such object: ${bucket}/${object}${generation ? `#${generation}` : ''}`)
}

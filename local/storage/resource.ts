import type {Checksums} from './uploads/draft.ts'

/** The fields of an object that a writer may set and PATCH may change. */
export interface ObjectOptions {
  contentType?: string
  contentEncoding?: string
  contentDisposition?: string
  contentLanguage?: string
  cacheControl?: string
  customTime?: string
  storageClass?: string
  metadata?: Record<string, string>
}

/** An object as the JSON API shows it; 64-bit numbers are strings. */
export interface ObjectMetadata extends Readonly<ObjectOptions>, Checksums {
  readonly kind: 'storage#object'
  readonly id: string
  readonly selfLink: string
  readonly mediaLink: string
  readonly name: string
  readonly bucket: string
  readonly generation: string
  readonly metageneration: string
  readonly size: string
  readonly etag: string
  readonly timeCreated: string
  readonly updated: string
  readonly timeStorageClassUpdated: string
  /** The time at which it stopped being the live generation. */
  readonly timeDeleted?: string
}

/** The fields of a bucket. Unknown ones are kept and returned. */
export interface BucketOptions {
  location?: string
  storageClass?: string
  versioning?: {enabled: boolean}
  labels?: Record<string, string>
}

/** A bucket as the JSON API shows it. */
export interface BucketMetadata extends Readonly<BucketOptions> {
  readonly kind: 'storage#bucket'
  readonly id: string
  readonly selfLink: string
  readonly name: string
  readonly projectNumber: string
  readonly metageneration: string
  readonly etag: string
  readonly timeCreated: string
  readonly updated: string
}

const writable = [
  'contentType',
  'contentEncoding',
  'contentDisposition',
  'contentLanguage',
  'cacheControl',
  'customTime',
  'storageClass',
  'metadata',
] as const satisfies (keyof ObjectOptions)[]

/** The fields of `said` that a writer of an object may set, including null, which removes a field in PATCH. */
export function writableOf(said: object): ObjectOptions {
  const fields = new Map<string, unknown>(Object.entries(said))
  return Object.fromEntries(
    writable.filter((key) => fields.get(key) !== undefined).map((key) => [key, fields.get(key)]),
  )
}

/** `old` changed by `patch` as in a PATCH: null removes a field, objects are merged. */
export function patched<T extends object>(old: T, patch: object): T {
  const result = new Map<string, unknown>(Object.entries(old))
  for (const [key, value] of Object.entries(patch)) {
    const before = result.get(key)
    if (value === null) result.delete(key)
    else result.set(key, isRecord(value) ? patched(isRecord(before) ? before : {}, value) : value)
  }
  return Object.fromEntries(result) as T
}

/** Cloud Storage's etag: the two numbers as fields 1 and 2 of a protobuf message, in base64. */
export function etagOf(generation: number, metageneration: number): string {
  return Buffer.from([0x08, ...varint(generation), 0x10, ...varint(metageneration)]).toString('base64')
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

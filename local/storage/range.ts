import {StorageError} from './error.ts'

/** Bytes of an object from `start` up to, but without, `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * The part of `size` bytes that a Range header requests: `bytes=a-b`, `bytes=a-` or `bytes=-n`. Undefined for other headers,
 * which RFC 9110 ignores. Throws 416 when there are no such bytes.
 */
export function rangeOf(header: string | undefined, size: number): ByteRange | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '') ?? []
  if (from === '' && to === '') return undefined
  if (from === '') return suffix(Number(to), size)
  const start = Number(from)
  if (to !== '' && Number(to) < start) return undefined
  if (start >= size) throw unsatisfiable(size)
  return {start, end: to === '' ? size : Math.min(Number(to) + 1, size)}
}

function suffix(length: number, size: number): ByteRange {
  if (length === 0 || size === 0) throw unsatisfiable(size)
  return {start: Math.max(0, size - length), end: size}
}

function unsatisfiable(size: number): StorageError {
  return new StorageError(416, undefined, {'Content-Range': `bytes */${size}`})
}

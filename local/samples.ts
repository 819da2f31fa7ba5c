import {gzipSync} from 'node:zlib'
import {localBucket} from './parts.ts'
import type {StorageServer} from './storage/server.ts'

const MiB = 1024 * 1024

/** Puts objects of different sizes into the sample bucket, and gives their names. */
export async function putSamples(storage: StorageServer): Promise<string[]> {
  const objects = [
    await storage.put(localBucket, 'empty.bin', ''),
    await storage.put(localBucket, 'hello.txt', 'Hello from Storage!\n', {contentType: 'text/plain'}),
    await storage.put(localBucket, 'notes/compressed.txt', gzipSync('Stored as gzip, sent as stored.\n'.repeat(1000)), {
      contentType: 'text/plain',
      contentEncoding: 'gzip',
    }),
    await storage.put(localBucket, 'picture.bin', pattern(1 * MiB)),
    await storage.put(localBucket, 'film.bin', pattern(64 * MiB)),
  ]
  return objects.map(({name, size}) => `${name} (${size} bytes)`)
}

/** `size` bytes in pieces of 64 KiB, each with its position in its first bytes. */
export function* pattern(size: number): Generator<Uint8Array> {
  const piece = Buffer.alloc(64 * 1024, 'grpc functions ')
  for (let at = 0; at < size; at += piece.length) {
    piece.writeUIntBE(at, 0, 6)
    yield piece.subarray(0, size - at)
  }
}

import type {Room} from './mutations.ts'

const reads = [
  'test/clients/storage.test.ts',
  'test/clients/attempts.test.ts',
  'test/clients/storage-emulators.test.ts',
]

export const storage: Room = {
  tests: [
    'test/clients/{storage,storage-emulators,storage-receiver,attempts,access-tokens,credentials}.test.ts',
    'test/functions/{upload,upload-large}.test.ts',
  ],
  files: [
    {
      file: 'src/clients/storage/objects.ts',
      by: reads,
      changes: [
        [
          "if (name.generation) query.set('generation', name.generation)",
          '',
          'another generation is read than was asked for',
        ],
        ['generation: version.generation})', '})', 'an object that is replaced under way is mixed of two'],
        ['{range: `bytes=${from}-`}', '{range: `bytes=${from + 1}-`}', 'a byte is lost where a read was resumed'],
        [
          "if (from > 0 && !response.headers['content-range']?.startsWith(`bytes ${from}-`)) {",
          'if (false) {',
          'a range that is ignored repeats the beginning',
        ],
        ['backoff.succeeded()', '', 'a long read is given up though it goes on'],
        [
          'if (offset > version.size)\n            throw',
          'if (false)\n            throw',
          'an object that is longer than its size is not noticed before its checksum',
        ],
        [
          'if (offset < version.size) throw new Error(`The answer ended',
          'if (false) throw new Error(`The answer ended',
          'an answer that ends early is asked for without a pause',
        ],
        [
          'fresh: backoff.again})\n        return',
          'fresh: false})\n        return',
          'a dead connection is used again and again',
        ],
        [
          "if (!(error instanceof Fault) || error.code !== 'NOT_FOUND') throw error\n      throw new Fault('ABORTED'",
          "throw error\n      throw new Fault('ABORTED'",
          'an object that was replaced under way is told as missing',
        ],
        ["crc32c === crcOfNothing ? '0' : ''", "''", 'an empty object of an emulator cannot be uploaded'],
        ['http: 412,', '', 'a wrong generation is 400'],
      ],
    },
    {
      file: 'src/clients/storage/objects.ts',
      by: ['test/clients/credentials.test.ts'],
      changes: [['this.#library = undefined', '', 'credentials that come later are not found']],
    },
    {
      file: 'src/clients/storage/request.ts',
      by: [...reads, 'test/clients/access-tokens.test.ts'],
      changes: [
        ['encodeURIComponent(name.object)', 'name.object', 'names with a slash or a question mark are not found'],
        [
          "const headers = {'accept-encoding': 'gzip', ",
          'const headers = {',
          'an object that is stored compressed has another checksum',
        ],
        [
          'agent: fresh ? connections.agentForOne(secure) : ',
          'agent: ',
          'a resumed read goes into the dead connection',
        ],
        [
          'outgoing.destroy(new TransientError(`No answer for ${stall} ms`))',
          '{}',
          'a Storage that stalls is waited for',
        ],
        [
          'clearTimeout(timer)\n  }\n}\n\nasync function accepted',
          '}\n}\n\nasync function accepted',
          'a timer is left after each request to Storage',
        ],
        ['status === 408 || ', '', 'a request timeout of Storage is a failure'],
        ['status === 429 || ', '', 'a Storage that is busy is a failure'],
        ['status >= 500) {', 'status >= 504) {', '503 of Storage is a failure'],
        ["Number(response.headers['retry-after'] ?? 0) * 1000 || 0", '0', 'Retry-After of Storage is not kept'],
        ['if (size > mostText) break', '', 'an error page without end fills the memory'],
        ['waiting = false', '', 'a slow receiver is taken for a stalled Storage'],
        ['timer.refresh()', '', 'each read ends after the stall limit'],
        ['if (waiting) response.destroy', 'if (false) response.destroy', 'a read that stalls is waited for'],
        ['return customEndpoint && !useAuthWithCustomEndpoint', 'return false', 'the emulator is asked with a token'],
        ["reason: 'STORAGE_PERMISSION_DENIED',", '', 'the caller cannot tell whose permission is missing'],
        [
          'const authorization = await within(signal, authorizationFor(signal, storage))',
          'const authorization = await authorizationFor(signal, storage)',
          'a caller who hung up waits for a token',
        ],
        [
          'Buffer.byteLength(name.object) > mostName',
          'name.object.length > mostName',
          'a name that Storage takes no length of is asked for',
        ],
      ],
    },
    {
      file: 'src/clients/storage/receiver.ts',
      by: ['test/clients/storage-receiver.test.ts', ...reads],
      changes: [
        [
          'this.#buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(bodyBuffer)',
          '',
          'a piece is overwritten while it is used',
        ],
        ['yield piece.subarray(0, left)', 'yield piece', 'bytes after the body are taken for a part of it'],
        ['if (first) yield first', '', 'the bytes that came with the head are lost'],
        ['    response.destroy()\n', '', 'the connection of each large body is left open'],
      ],
    },
    {
      file: 'src/clients/storage/backoff.ts',
      by: reads,
      changes: [
        ['const maxFailures = 6', 'const maxFailures = 600', 'a Storage that is down holds each upload'],
        ['const longestPause = 5000', 'const longestPause = 5_000_000', 'Retry-After of an hour holds an upload'],
        ['if (signal.aborted) throw signal.reason', '', 'a hang-up is told as a failure of Storage'],
        ['if (error instanceof Fault) throw error', '', 'a missing object is asked for seven times'],
      ],
    },
    {
      file: 'src/clients/storage/crc32c.ts',
      by: ['test/functions/upload.test.ts', ...reads],
      changes: [['crc32c(bytes, this.#value)', 'crc32c(bytes)', 'each object of two pieces is refused']],
    },
  ],
}

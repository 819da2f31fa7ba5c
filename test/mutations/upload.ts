import type {Room} from './mutations.ts'

const uploads = ['test/upload/*.test.ts']
const app = ['test/functions/upload.test.ts', 'test/functions/upload-large.test.ts', 'test/auth/upload.test.ts']

export const upload: Room = {
  tests: [...uploads, ...app, 'test/functions/gateway-repo.test.ts'],
  files: [
    {
      file: 'src/upload/chunks.ts',
      by: uploads,
      changes: [
        [';[buffer, other] = [other, buffer]', '', 'bytes are overwritten before they have left'],
        ['offset += size', '', 'each chunk says offset 0'],
        ['offset, last: true}', 'offset, last: false}', 'the last chunk does not say that it is'],
        ['if (filled > 0) yield', 'if (filled > 1) yield', 'the last byte is lost'],
        [
          'taken += part.length',
          'taken += part.length + (part.length === size ? 1 : 0)',
          'a byte is lost in pieces of exactly a chunk',
        ],
      ],
    },
    {
      file: 'src/upload/frame.ts',
      by: uploads,
      changes: [
        ['number * 8 + 2', 'number * 8 + 1', 'the backend cannot read a message'],
        [
          '].map(({number}) => varint(number * 8 + 2)).reverse()',
          '].map(({number}) => varint(number * 8 + 2))',
          'bytes in a nested message arrive nowhere',
        ],
        [
          'if (frame.length + prefixSize > headroom) return',
          'if (false) return',
          'long fields before the bytes break the message',
        ],
        [
          'rest > 0x7f ? (rest & 0x7f) | 0x80',
          'rest > 0x7f ? rest & 0x7f',
          'messages of more than 127 bytes cannot be read',
        ],
      ],
    },
    {
      file: 'src/upload/send.ts',
      by: [...uploads, ...app],
      changes: [
        [
          'const defaultChunkBytes = 256 * 1024',
          'const defaultChunkBytes = 8 * 1024 * 1024',
          'a message is larger than the backend takes',
        ],
        ['if (first) yield first', '', 'the context is lost'],
        ['if (taken > maxBytes) throw tooLarge(size)', '', 'more is sent than the service takes'],
        ['if (crc32c) checksum.update(piece)', '', 'no object can be uploaded'],
        [
          'if (size !== undefined && taken !== size) throw',
          'if (size !== undefined && taken > size) throw',
          'a part is committed as the whole',
        ],
        [
          'if (crc32c && checksum.toString() !== crc32c) {',
          'if (false) {',
          'bytes that changed under way are committed',
        ],
        [
          'if ((content.size ?? 0) > maxBytes) throw tooLarge(content.size)',
          '',
          'a stream is begun for what is too large',
        ],
        ['{timeout: Number.POSITIVE_INFINITY, metadata', '{metadata', 'an upload ends after 30 s'],
        ['if (!progress.ended || (kept', 'if ((kept', 'a reply before the end is believed'],
        [' && kept !== sent)', ' && kept < 0)', 'a reply with another size is believed'],
        ['verify?.(reply, {...content, size: sent})', '', 'the check of the function is skipped'],
        ["'x-object-crc32c': crc32c", "'x-object-crc32c': ''", 'the backend cannot check the bytes'],
        ["'x-object-size': String(size)", "'x-object-size': '0'", 'the backend is told another size'],
        ["http: 502, reason: 'DATA_LOSS'", "reason: 'DATA_LOSS'", 'lost bytes are an error of ours'],
      ],
    },
    {
      file: 'src/upload/upload.ts',
      by: [...app, ...uploads],
      changes: [
        ['allow(upload, name)', '', 'any bucket can be read'],
        ['scope.hold(0)\n', '', 'the bytes of the job are counted for as long as the upload takes'],
        [
          'if (length !== undefined) return {context, content: {size: Number(length), pieces: () => scope.body}}',
          '',
          'a body is read whole into the memory',
        ],
        [
          'const maxUnannounced = 1024 * 1024',
          'const maxUnannounced = 1024 * 1024 * 1024',
          'a body without a length fills the memory',
        ],
        ['http: 411,', '', 'a body without a length is 400'],
        [
          "if (type === 'text/event-stream' && hadAllEvents(scope.headers['last-event-id'])) return noMoreEvents",
          '',
          'an EventSource uploads again when it reconnects',
        ],
        [
          "throw new Fault('PERMISSION_DENIED', 'The caller cannot be the creator",
          "if (false) throw new Fault('PERMISSION_DENIED', 'The caller cannot be the creator",
          'an upload without a creator',
        ],
        [
          'Object.hasOwn(caller.claims, claim)',
          'true',
          'a claim is taken from what every object inherits',
          'no object inherits a text',
        ],
      ],
    },
    {
      file: 'src/upload/target.ts',
      by: [...app, ...uploads],
      changes: [
        [
          'if (bucket !== name) return false',
          'if (!bucket.startsWith(name!)) return false',
          'a bucket whose name only begins like an allowed one is read',
        ],
        [
          'object.startsWith(`${folder}/`)',
          'object.startsWith(folder)',
          'a folder whose name only begins like an allowed one is read',
        ],
        ['if (maxBytes === undefined || size <= maxBytes) return', 'return', 'what is too large is begun'],
      ],
    },
    {
      file: 'src/upload/job.ts',
      by: [...uploads, ...app],
      changes: [
        [
          'for (const [field, value] of Object.entries({bucket, object})) if (!value) throw missing(field)',
          '',
          'a job without a bucket is asked of Storage',
        ],
        [
          'if (!contextField && isSet(given, data)) {',
          'if (false) {',
          'the caller sets bytes beside those of the object',
        ],
        [
          'for (const path of required) if (!hasValue(given, path)) throw missing(`context.${jsonPath(path)}`)',
          '',
          'an upload without its context',
        ],
        [
          'if (hasValue(message, path) && valueAt(message, path) !== creator) {',
          'if (false) {',
          'a caller who names another creator is not refused',
        ],
        [
          'put(message, path, creator, {',
          'if (false) put(message, path, creator, {',
          'the creator is who the request says',
        ],
        [
          'count.add(1)',
          '',
          'a query of a million parameters holds the loop',
          'the head of a request has room for a quarter of the limit',
        ],
        ['!isTextual(found.field) ? undefined', 'false ? undefined', 'a parameter that cannot be set fails the upload'],
      ],
    },
    {
      file: 'src/upload/plan.ts',
      by: uploads,
      changes: [
        [
          "if (method.methodKind !== 'client_streaming') refuse",
          'if (false) refuse',
          'a wrong method is found at the first request',
        ],
        ['if (!isBytes(bytes.field)) refuse', 'if (false) refuse', 'a wrong field is found at the first request'],
        [
          'if (bytes.parents.some(({delimitedEncoding}) => delimitedEncoding)) refuse',
          'if (false) refuse',
          'bytes inside a group cannot be read',
        ],
      ],
    },
    {
      file: 'src/upload/upload.ts',
      by: ['test/functions/upload.test.ts'],
      changes: [
        [
          "if (type === 'text/event-stream' && hadAllEvents(scope.headers['last-event-id'])) return noMoreEvents\n",
          '\n',
          'a browser that reconnects uploads once more',
        ],
      ],
    },
    {
      file: 'src/upload/session.ts',
      by: ['test/upload/session.test.ts'],
      changes: [
        [
          'allow(target, {bucket, object: folder})',
          '',
          'files are sent to a place from which upload may not read them',
        ],
        ["refuseTooLarge(target, size, 'A file')\n", '\n', 'a file is sent that upload refuses afterwards'],
        ['|| size < 0', '', 'a negative size is an error of Storage'],
        ['|| !mediaType.test(contentType)', '', 'a line break in a type adds headers to a request to Storage'],
        ['contentType, origin}', 'contentType, origin: undefined}', 'pages of any origin may send the bytes'],
      ],
    },
    {
      file: 'src/functions/upload-session.ts',
      by: ['test/upload/session.test.ts'],
      changes: [[', maxBytes}', '}', 'a file is sent that upload refuses afterwards']],
    },
    {
      file: 'src/functions/upload.ts',
      by: ['test/auth/upload.test.ts', 'test/functions/upload.test.ts'],
      changes: [
        ["    creator: 'creatorId',\n", '', 'UPLOAD_CREATOR has no effect'],
        ['    sizeOf: (reply) => reply.size,\n', '', 'an upload of which a part arrived is a success'],
      ],
    },
    {
      file: 'src/functions/finalized.ts',
      by: ['test/events/finalized.test.ts'],
      changes: [
        ["    required: ['creatorId', 'name'],\n", '', 'an instance starts without the fields that the service needs'],
        ['    sizeOf: (reply) => reply.size,\n', '', 'an upload of which a part arrived is acknowledged, and so lost'],
      ],
    },
    {
      file: 'src/upload/template.ts',
      by: ['test/events/finalized.test.ts'],
      changes: [
        [
          'if (Object.hasOwn(metadata, key)) return metadata[key]!',
          'return metadata[key]!',
          'missing metadata is written as "undefined"',
        ],
        ['if (!names.includes(path)) refuse', 'if (false) refuse', 'each event fails, rather than the start'],
        ['if (twice) refuse', 'if (false) refuse', 'of two values for a field one is lost'],
      ],
    },
    {
      file: 'src/upload/session.ts',
      by: ['test/upload/session.test.ts', 'test/auth/upload.test.ts'],
      changes: [
        ["{headers: {'cache-control': 'no-store'}}", '{}', 'a cache keeps a URL that needs no token'],
        ['access: accessOf(target), ', '', 'any caller may write to the bucket'],
        ['scope.bytes(maxBody)', 'scope.bytes()', 'the request for a session is read up to megabytes'],
      ],
    },
    {
      file: 'src/upload/template.ts',
      by: ['test/events/finalized.test.ts'],
      changes: [['if (!hasValue(message, path)) throw', 'if (false) throw', 'an object without a creator is uploaded']],
    },
  ],
}

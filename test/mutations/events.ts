import type {Room} from './mutations.ts'

const served = ['test/events/serve-event.test.ts']

export const events: Room = {
  tests: ['test/events/*.test.ts'],
  files: [
    {
      file: 'src/events/serve-event.ts',
      by: served,
      changes: [
        [
          'scope.signal.aborted || isTransient(fault)',
          'scope.signal.aborted',
          'an event that fails for a moment is lost',
        ],
        ['if (inProgress.has(key)) {', 'if (false) {', 'a duplicate is handled at the same time'],
        ['inProgress.delete(key)', '', 'an event that failed is never handled again'],
        [
          'if (status >= 500 || status === 429) return fault',
          'return fault',
          'some senders do not send an event again',
        ],
        ['scope.hold(0)', '', 'the bytes of an event are counted for as long as it is handled'],
        ['if (!isProtobuf(type))', 'if (false)', 'text is read as a message'],
        ['checkWire(schema, data, new ValueCount())', '', 'a message of many fields fills the memory'],
        ['scope.note({event: eventFields(raw)})', '', 'the log does not say which event it was'],
        ['ignoreUnknown: true}', 'ignoreUnknown: false}', 'an event with a new field is refused'],
        ['=> `${source} ${id}`', '=> id', 'events of two sources are taken for duplicates'],
        ['retryAfter: duplicateRetryAfter,', '', 'a duplicate comes again at once'],
      ],
    },
    {
      file: 'src/events/cloud-event.ts',
      by: [...served, 'test/events/finalized.test.ts'],
      changes: [
        ["if (specversion !== '1.0') {", 'if (false) {', 'events of another version are read'],
        ['unescaped(`${value}`)', '`${value}`', 'names with accents arrive encoded'],
        ['if (!value) throw', 'if (false) throw', 'an event without an id is handled'],
        [
          "typeof data === 'string' && !isJson(all.datacontenttype)",
          "typeof data === 'string'",
          'data that is a JSON string loses its quotes',
        ],
        [
          "typeof item === 'bigint' ? rawJSON(String(item)) : item",
          "typeof item === 'bigint' ? Number(item) : item",
          'large integers are rounded',
        ],
        ['if (base64 !== undefined) return', 'if (false) return', 'binary data is lost'],
        ['{http: 415},', '', 'what is no event is 400'],
      ],
    },
    {
      file: 'src/events/pubsub.ts',
      by: [...served, 'test/events/finalized.test.ts'],
      changes: [
        [
          "payloadFormat === 'JSON_API_V1' && payload.length > 0",
          'true',
          'a notification without a payload cannot be read',
        ],
        ['messageId ?? other', 'messageId', 'a push with message_id is refused'],
        [
          "isBinary ? 'application/protobuf' : contentType",
          'contentType',
          'messages of a topic with a schema cannot be read',
        ],
        ['data === undefined ? new Uint8Array() :', '', 'a message without data is refused'],
      ],
    },
    {
      file: 'src/upload/finalized.ts',
      by: ['test/events/finalized.test.ts'],
      changes: [
        ['allow(target, name)', '', 'any bucket can be read'],
        ['if (type !== finalizedType) {', 'if (false) {', 'a deletion is uploaded'],
        ['refuseTooSlow(content, scope, bytesPerSecond)', '', 'what cannot be moved in time is sent again for days'],
        [
          "if (!(error instanceof Fault) || error.code !== 'ALREADY_EXISTS') throw error",
          'throw error',
          'a duplicate is a failure',
        ],
        [
          'idempotencyKey = keyOf(version)',
          "idempotencyKey = keyOf({...version, generation: ''})",
          'a new generation is taken for a duplicate',
        ],
        ['.catch(asOurs)', '', 'an event is lost for a role that is missing'],
      ],
    },
    {
      file: 'src/events/transient.ts',
      by: ['test/events/serve-event.test.ts'],
      changes: [
        ['UNAUTHENTICATED: true', 'UNAUTHENTICATED: false', 'events are lost while a role is missing'],
        ['RESOURCE_EXHAUSTED: true', 'RESOURCE_EXHAUSTED: false', 'events are lost while a quota is used up'],
        ['UNIMPLEMENTED: true', 'UNIMPLEMENTED: false', 'events are lost while there is no service'],
        ['|| fault.retryAfter !== undefined', '', 'an event is lost that could be sent later'],
      ],
    },
    {
      file: 'src/events/transient.ts',
      by: ['test/events/finalized.test.ts'],
      changes: [[' || (fault.ownHttpStatus ?? 0) >= 500', '', 'an event is lost for an error of our own']],
    },
  ],
}

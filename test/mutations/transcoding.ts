import {conventions} from './conventions.ts'
import {fieldFaults} from './fields.ts'
import type {Room} from './mutations.ts'
import {openapi} from './openapi.ts'
import {rules} from './rules.ts'
import {schema} from './schema.ts'

const values = ['test/transcoding/values.test.ts', 'test/transcoding/json.test.ts']
const properties = ['test/transcoding/properties.test.ts']
const streams = ['test/transcoding/streams.test.ts']
const requests = ['test/transcoding/requests.test.ts']

export const transcoding: Room = {
  tests: [
    'test/transcoding/*.test.ts',
    'test/functions/{gateway,gateway-streams,gateway-limits,gateway-properties}.test.ts',
  ],
  files: [
    {
      file: 'src/core/renamed-keys.ts',
      by: values,
      changes: [
        [' || written.startsWith(mark)', '', 'a key that looks like a name is read as another key'],
        ['this.#end = end', '', 'of two keys with escapes one is lost'],
      ],
    },
    {
      file: 'src/transcoding/json/text.ts',
      by: [...values, ...properties],
      changes: [
        [
          'export const maxNesting = 100',
          'export const maxNesting = 100_000',
          'a body that nests deeply ends the process',
        ],
        ["if (text.startsWith('\\ufeff')) refuse", 'if (false) refuse', 'a byte order mark is told as a syntax error'],
        ['{fatal: true, ignoreBOM: true}', '{ignoreBOM: true}', 'bytes that are no text are replaced silently'],
        ['Math.abs(value) > Number.MAX_SAFE_INTEGER', 'Math.abs(value) > 2 ** 60', 'large integers are rounded'],
        [
          'if (zeros < 0 || significant.length + zeros > 20) return undefined',
          'if (zeros < 0) return undefined',
          '1e100000000 holds the event loop',
        ],
        ['source.length <= 100 && ', '', 'a number of a million digits holds the event loop'],
        ['if (!isKey(text, end)) count.add(1)', 'if (!isKey(text, end)) {}', 'a body of a million strings is read'],
        ['} else remember(keys, written)', '}', 'of two equal keys the last one wins'],
        ['keys = open[open.length - 1]', '', 'keys behind a nested value may be there twice'],
        [
          'keys = char === 0x7b ? new Set() : undefined',
          'keys = char === 0x7b ? (keys ?? new Set()) : undefined',
          'a key of a nested object may not be one of its parent',
        ],
        ['while (at >= 0 && isEscaped(text, at))', 'while (false)', 'an escaped quote ends a string'],
        [
          'return (at - first) % 2 === 1',
          'return at > first',
          'a quote behind an escaped backslash does not end a string',
        ],
        [
          'const key = parsed(`"${written}"`)',
          'const key = written',
          'of two keys that are equal when read the last one wins',
        ],
        [
          'if (!renamed) return parsed(text, reviver)',
          'if (renamed) return parsed(text, reviver)',
          'a key with an escape is read as one of an earlier text',
        ],
        [
          'return reviver ? reviver(key, restored, context) : restored',
          'return restored',
          'beside a key with an escape numbers are rounded',
        ],
        ['if (keys.add(key).size === before) refuse', 'if (false) refuse', 'of two equal keys the last one wins'],
        [
          'if (at - first > 15) return true',
          'if (at - first > 19) return true',
          'integers of 16 to 19 digits are rounded',
        ],
        ['char === 0x2b || char === 0x2d', 'char === 0x2b', 'numbers such as 1e-5 are read as two'],
        [
          'const dropped = `${whole}${fraction}`.length',
          'const dropped = 0 * `${whole}${fraction}`.length',
          'large integers with zeros at their end are rounded',
        ],
      ],
    },
    {
      file: 'src/transcoding/json/fit.ts',
      by: [...values, ...properties, 'test/functions/gateway-limits.test.ts'],
      changes: [
        ['const maxAnys = 5', 'const maxAnys = 500', 'an Any in an Any costs the square of its depth'],
        ['if (text.items) options.count.add(text.items(value))', '', 'a FieldMask of a million paths is read'],
        [
          'if (!text.fits(value)) refuse(path, value, text.expected)',
          '',
          'a timestamp that is none is told in the words of a parser',
        ],
        ['if (!isMapKey(field.mapKey, key)) refuse', 'if (false) refuse', 'keys that are no numbers are taken'],
        ["if (path !== '') options.count.addFieldsOf(desc)", '', 'a body of many wide messages fills the memory'],
        ['if (options.ignoreUnknown) continue', '', 'GATEWAY_UNKNOWN_FIELDS=ignore ignores nothing'],
        ['refuseTwice(field, present, place)', '', 'a field by both of its names: the last one wins'],
        [
          'if (field.oneof && value === null && !takesNull(field)) delete object[key]',
          'if (false) delete object[key]',
          'null beside another member of a oneof is refused',
        ],
        [
          'const other = field.oneof && present',
          'const other = undefined && present',
          'two members of a oneof: the last one wins',
        ],
        ["if (value === null && !takesNull(field)) refuse(path, value, 'a value')", '', 'null in a list is taken'],
        [
          "typeof value === 'string' && value.isWellFormed()",
          "typeof value === 'string'",
          'half of a surrogate pair reaches the backend',
        ],
        ['Number.isFinite(Math.fround(value))', 'true', 'a float that is too large becomes infinite'],
        [
          'if (value === (value | 0) && value >= 0) return true',
          'if (value === (value | 0)) return true',
          'negative numbers are taken for unsigned fields',
        ],
        [
          "desc.open && typeof value === 'number'",
          "typeof value === 'number'",
          'unknown numbers of a closed enum are taken',
        ],
        [
          "if (typeof value === 'number' && !Number.isFinite(value)) refuse",
          'if (false) refuse',
          'an infinite number in a Value',
        ],
        ['if (options.anys > maxAnys) {', 'if (false) {', 'an Any in an Any without end'],
        [
          'if (unknown !== undefined && !options.ignoreUnknown) refuseUnknown',
          'if (false) refuseUnknown',
          'unknown members of an Any are dropped silently',
        ],
        ['extension?.extendee.typeName === desc.typeName', 'true', "another message's extension is taken"],
        ['callerOnly: `, got ${shown(value)}`,', '', 'the caller does not hear which value is wrong'],
      ],
    },
    {
      file: 'src/transcoding/json/message.ts',
      by: [...values, ...requests],
      changes: [
        ['if (isBlank(text)) return create(desc)', '', 'an empty body is refused'],
        ['if (value === null) throw Fault', 'if (false) throw Fault', 'null as a body is taken'],
        [
          'callerOnly: `: ${(error as Error).message}`',
          'cause: (error as Error).message',
          'the caller does not hear what is wrong',
        ],
      ],
    },
    {
      file: 'src/transcoding/json/no-body.ts',
      by: [...requests, 'test/functions/gateway.test.ts'],
      changes: [
        ['if (this.#size > maxBytes) this.#refuse()', '', 'a body without end is read for a method that takes none'],
        ["if (this.#expected === '}') this.#refuse()", '', 'half of an empty object passes'],
        ["if (!this.#json) this.#expected = ''", '', 'a form of "{}" passes'],
      ],
    },
    {
      file: 'src/transcoding/json/splitter.ts',
      by: streams,
      changes: [
        [
          'if (this.#failure) throw this.#failure\n    const values: string[] = []\n    try {',
          'const values: string[] = []\n    try {',
          'what follows a failure in a stream is read',
        ],
        ['if (values.length === 0) throw error', 'throw error', 'messages before a failure are lost'],
        [
          'if (this.#state === inScalar && !this.#array) this.#finish(new Uint8Array(0), 0, 0, values)',
          '',
          'a stream that ends with a number is refused',
        ],
        [
          "if (this.#state !== between) refuse('the body ends within a value')",
          '',
          'half a message at the end is dropped silently',
        ],
        [
          'if (this.#array && this.#expected !== nothing) refuse',
          'if (false) refuse',
          'an array that does not end is taken',
        ],
        [
          'if (this.#state !== between && at - start + this.#size > this.#maxBytes) this.#tooLarge()',
          '',
          'a message without end fills the memory',
        ],
        [
          "if (this.#expected === nothing) refuse('something follows the array')",
          '',
          'what follows the array is taken',
        ],
        [
          'if (byte === closeBracket && this.#expected !== item) {',
          'if (byte === closeBracket) {',
          'an array may end with a comma',
        ],
        ['if (this.#depth === this.#maxDepth) refuse', 'if (false) refuse', 'a message that nests deeply is read'],
        [
          'if (this.#closers[--this.#depth] !== byte) refuse',
          'if (--this.#depth < 0) refuse',
          'a bracket closes a brace',
        ],
        ['this.#state = inString\n          at++', 'this.#state = inString', 'an escaped quote ends a string'],
        ['this.#expected = this.#array ? comma : item', 'this.#expected = item', 'an array without commas is taken'],
        ['larger.set(this.#held.subarray(0, this.#size))', '', 'a message that comes in three pieces is broken'],
        [
          'if (this.#size + end - start > this.#maxBytes) this.#tooLarge()',
          '',
          'a message one byte too large is taken',
        ],
        ['http: 413,', '', 'a message that is too large is 429'],
        [
          'if (this.#held.length > mostKept) this.#held = new Uint8Array(0)',
          '',
          'each stream keeps the room of its largest message',
        ],
      ],
    },
    {
      file: 'src/transcoding/value-count.ts',
      by: [...values, ...requests, 'test/functions/gateway-limits.test.ts'],
      changes: [
        [
          'const defaultMaxValues = 20_000',
          'const defaultMaxValues = 20_000_000',
          'a body of 350,000 messages ends the process',
        ],
        ['copy.#count = this.#count', '', 'the query is not counted for later messages of a stream'],
        [
          'if (this.#count <= this.#max) return',
          'if (this.#count < this.#max) return',
          'a body of exactly the limit is refused',
        ],
        ["if (field.fieldKind === 'list') size += 95", '', 'empty messages with many lists fill the memory'],
      ],
    },
    {
      file: 'src/transcoding/requests.ts',
      by: [...requests, ...values, 'test/transcoding/update-mask.test.ts', 'test/transcoding/fields.test.ts'],
      changes: [
        ['if (repeats) refuseLong(captures, query)', '', 'a long query is read again for each message of a stream'],
        [
          'const draft = this.#draft(repeats ? counted.copy() : counted)',
          'const draft = this.#draft(counted)',
          'a stream may have 20,000 values in all',
        ],
        [
          'if (repeats) this.#apply(empty(), assignments, counted.copy())',
          '',
          'a wrong path is told only when the first message comes',
        ],
        ['written?.fill(message)', '', 'PATCH sends no update mask'],
        [
          'refuseMissing(this.#binding.method.input, message)',
          '',
          'a required field of proto2 that is missing is an error of ours',
        ],
        ['once(assigned, plan, name, mapKey)', '', 'of two parameters the last one wins'],
        ['if (isBodys || this.#bound.has(found.name)) {', 'if (isBodys) {', 'the query overwrites what the path says'],
        [
          'if (isBodys || this.#bound.has(found.name)) {',
          'if (this.#bound.has(found.name)) {',
          'the query changes what the body says',
        ],
        [
          'return ignoresUnknown && found.unknown ? {skip: true} : found',
          'return found.unknown ? {skip: true} : found',
          'a misspelt parameter is dropped silently',
        ],
        [
          "if (body === undefined) throw Fault.invalid('body', `Cannot read a body",
          "if (false) throw Fault.invalid('body', `Cannot read a body",
          'a body is dropped silently',
        ],
        [
          "if (this.#bound.has(found.name)) throw refused(part.name, 'the path sets it')",
          '',
          'a form overwrites what the path says',
        ],
        ["written?.add(found.name.slice(found.name.indexOf('.') + 1))", '', 'a PATCH with a form sends no update mask'],
        [
          "if (field.fieldKind !== 'list' && assigned.has(name)) throw",
          "if (field.fieldKind === 'list' && assigned.has(name)) throw",
          'a list takes one value only',
        ],
        [
          'const maxStreamQuery = 4096',
          'const maxStreamQuery = 4096 * 1024',
          'a long query is read again for each message',
        ],
        [
          'if (fieldsOf(this.#binding.method.input).has(name)) this.#queries.set(name, found)',
          'this.#queries.set(name, found)',
          'each new name of a parameter is kept for ever',
        ],
        [
          'part.filename !== undefined ? bytesOf(part.value) : undefined',
          'undefined',
          'a file in a form is read as base64',
        ],
      ],
    },
    {
      file: 'src/transcoding/responses.ts',
      by: ['test/transcoding/responses.test.ts'],
      changes: [
        [
          "headerValue.test(type) ? type : 'application/octet-stream'",
          'type',
          'a content type of the backend splits the response',
        ],
        ["if (field.fieldKind === 'list') return []", '', 'an empty list is null'],
        ["return field.scalar && isLong(field.scalar) ? '0' : 0", 'return 0', 'a long that is zero is a number'],
      ],
    },
    ...rules,
    ...schema,
    ...fieldFaults,
    ...conventions,
    ...openapi,
  ],
}

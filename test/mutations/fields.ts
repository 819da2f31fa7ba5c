import type {FaultyFile} from './mutations.ts'

const fields = ['test/transcoding/fields.test.ts']
const requests = ['test/transcoding/requests.test.ts']
const values = ['test/transcoding/values.test.ts', 'test/transcoding/json.test.ts']
const bindings = ['test/transcoding/bindings.test.ts']
const limits = ['test/functions/gateway-limits.test.ts']

/** Faults in src/transcoding/fields/, and in what else reads and checks the fields of a request. */
export const fieldFaults: readonly FaultyFile[] = [
  {
    file: 'src/transcoding/fields/assign.ts',
    by: [
      ...fields,
      ...requests,
      'test/functions/event-ids.test.ts',
      ...limits,
      'test/functions/gateway-presets.test.ts',
    ],
    changes: [
      ['if (plan.items) count.add(plan.items(text))', '', 'a FieldMask of a million paths in a query is read'],
      ['refuseOther(target, field, origin)\n  if (origin', 'if (origin', 'of two members of a oneof the last one wins'],
      ['refuseOther(message, field, origin)\n  count', 'count', 'a message in a oneof replaces its other member'],
      [
        'if (origin.mayRepeat && isFieldSet(target, field)) refuseDifferent(target, field, value, origin)',
        '',
        'the path overwrites what the body says',
      ],
      [
        'count.add(1)\n  count.addFieldsOf(field.message)',
        'count.addFieldsOf(field.message)',
        'nested messages of a query are not counted',
      ],
      [
        'Object.defineProperty(map, mapKey, {value, enumerable: true, writable: true, configurable: true})',
        ';(map as Record<string, unknown>)[mapKey] = value',
        'the key "__proto__" of a map is lost',
      ],
      [
        'if (field.oneof && choice?.case !== field.localName) local(target)[field.oneof.localName] = {case: undefined}',
        '',
        'an event stream is not resumed where its cursor is in a oneof',
      ],
      ['return desc.open || desc.values.some', 'return desc.values.some', 'unknown numbers of an enum are refused'],
      [
        'desc.open || desc.values.some((value) => value.number === number) ? number : undefined',
        'number',
        'unknown numbers of a closed enum are taken',
      ],
      [
        'return (!field.oneof && wrappedText(desc)) || text',
        'return wrappedText(desc) || text',
        'a wrapper in a oneof is an error of ours',
      ],
      [
        'for (const {name, number} of desc.values) numbers.set(name, number)',
        '',
        'the proto name of an enum value is refused',
      ],
      [
        'left.length === right.length && left.every',
        'left.every',
        'bytes in the path may be the beginning of those in the body',
      ],
      [
        'return isMessage ? equals(field.message, left as Message, right as Message) : Object.is(left, right)',
        'return Object.is(left, right)',
        'a time in the path and again in the body is refused',
      ],
      ['callerOnly: `, got "${shortened(text)}"`,', '', 'the caller does not hear which value is wrong'],
      [
        'isLong(field.scalar)\n  return asString ?',
        'isLong(field.scalar)\n  return false ?',
        'a field with jstype = JS_STRING is an error of ours',
      ],
    ],
  },
  {
    file: 'src/transcoding/fields/fields.ts',
    by: [...fields, ...bindings, ...values, 'test/transcoding/descriptor-sets.test.ts'],
    changes: [
      ['if (names.length > maxNesting) return', 'if (false) return', 'a parameter of a thousand names nests that deep'],
      [
        "path.split('.', maxNesting + 1)",
        "path.split('.', maxNesting)",
        'a parameter that nests deeply sets another field',
      ],
      [
        'new Map([...byJson, ...desc.fields.map((field) => [field.name, field] as const)])',
        'new Map(desc.fields.map((field) => [field.name, field] as const))',
        'JSON names of parameters are refused',
      ],
      [
        "return field.fieldKind === 'message' && !hasOwnForm(field.message)",
        "return field.fieldKind === 'message'",
        'a parameter sets a part of a timestamp',
      ],
      [
        "if (field.fieldKind === 'list') return field.listKind !== 'message'",
        "if (field.fieldKind === 'list') return true",
        'a list of messages in a query is an error of ours',
      ],
      [
        "if (field.jsonName === '') problems.push",
        'if (false) problems.push',
        'a registry without JSON names is served',
      ],
      [
        'if (field.jsonName !== field.name && names.has(field.jsonName)) {',
        'if (false) {',
        'two fields of one JSON name are served',
      ],
      [
        "if (field.fieldKind === 'message' && !field.oneof && field.localName in Object.prototype) {",
        'if (false) {',
        'a field `to_string` is written to the prototype of all objects',
      ],
      ['if (message) reachable(message, found)', '', 'a required field of a nested message is not seen'],
      ['unknown: true}', 'unknown: false}', 'GATEWAY_UNKNOWN_FIELDS=ignore refuses unknown parameters'],
    ],
  },
  {
    file: 'src/transcoding/fields/scalars.ts',
    by: [...fields, ...values, 'test/transcoding/metadata.test.ts'],
    changes: [
      [
        'return Number.isFinite(value) && !Number.isFinite(Math.fround(value)) ? undefined : value',
        'return value',
        'a float that is too large becomes infinite',
      ],
      ["(text === 'false' ? false : undefined)", '(text ? false : undefined)', 'any text is false'],
      ['(padding && text.length % 4 !== 0)', 'false', 'base64 with wrong padding is taken'],
      [
        'return (text.length - padding.length) % 4 === 1 ? undefined : base64Decode(text)',
        'return base64Decode(text)',
        'base64 that is cut off is taken',
      ],
      ['&& (!isInteger(type) || digits.test(text))', '', 'the keys 1e2 and 100 of a map are two'],
      [
        "2147483647', -(2n ** 31n), 2n ** 31n - 1n, Number)",
        "2147483647', -(2n ** 31n) + 1n, 2n ** 31n - 1n, Number)",
        'the smallest integer is refused',
      ],
      ['0n, 2n ** 64n - 1n, (value) => value)', '0n, 2n ** 64n, (value) => value)', 'an integer of 65 bits becomes 0'],
      ['const decimal = /^-?[0-9]+(?:', 'const decimal = /^-?[0-9]*(?:', 'a number without digits is 0'],
      [
        'scalarTexts[type] === int64 || scalarTexts[type] === uint64',
        'scalarTexts[type] === int64',
        'unsigned integers of 64 bits are numbers in JSON',
      ],
      ["text === 'Infinity' || text === '-Infinity'", "text === 'Infinity'", '-Infinity is refused'],
    ],
  },
  {
    file: 'src/transcoding/fields/well-known.ts',
    by: [...fields, ...values, ...limits],
    changes: [
      ['(year % 100 !== 0 || year % 400 === 0)', '(year % 100 !== 0)', '29 February 2000 is refused'],
      ['year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)', 'year % 4 === 0', '29 February 1900 is 1 March'],
      ['month === 9 || month === 11', 'month === 11', '31 September is 1 October'],
      [
        '(text.length < 12 || attempt(desc, text) !== undefined)',
        'true',
        'a duration of more than 10,000 years is told in the words of a parser',
      ],
      [
        "return (year > '0001' && year < '9999') || attempt",
        "return (year >= '0001' && year <= '9999') || attempt",
        'a time before the year 1 is told in the words of a parser',
      ],
      [
        "text.indexOf(',', at + 1)) count++",
        "text.indexOf(',', at + 1)) count = 1",
        'a FieldMask of a million paths counts as two values',
      ],
      ['const duration = /^-?\\d{1,12}', 'const duration = /^\\d{1,12}', 'negative durations are refused'],
      ['return inner === undefined ? undefined : create', 'return create', 'a wrapper of malformed text is empty'],
      [
        'return inner === undefined ? undefined : create(desc, {value: inner})',
        'return inner ? create(desc, {value: inner}) : undefined',
        'a wrapper of zero is refused',
      ],
    ],
  },
  {
    file: 'src/transcoding/fields/required.ts',
    by: [...fields, ...requests, ...values],
    changes: [
      [
        'refuseMissing(field.message, child, `${place}${key}.`)',
        '{}',
        'a required field of a nested message is an error of ours',
      ],
      ["if (field.oneof) return [['',", "if (false) return [['',", 'a required field in a oneof is an error of ours'],
      ['[`[${key}]`, child])', "['', child])", 'the error for a list does not say which item lacks a field'],
    ],
  },
  {
    file: 'src/transcoding/update-mask.ts',
    by: ['test/transcoding/update-mask.test.ts', 'test/functions/gateway-update-mask.test.ts'],
    changes: [
      ["if (httpMethod !== 'PATCH' || ", 'if (', 'a PUT changes only the fields that it has'],
      [
        "if (body.message.typeName === 'google.api.HttpBody') return undefined",
        '',
        'a PATCH with a file has a mask of its parts',
      ],
      ['?? (masks.length === 1 ? masks[0] : undefined)', '?? masks[0]', 'of two masks the wrong one is filled'],
      [" || mask.name === 'read_mask'", '', 'a PATCH answers only the fields that it has changed'],
      [' || mask.oneof', '', 'a mask in a oneof replaces its other member'],
      ['if (fields[localName]?.paths.length) return', '', "the caller's own mask is replaced"],
      ['const maxLength = 256 * 1024', 'const maxLength = 256 * 1024 * 1024', 'a small body makes a mask of gigabytes'],
      ['&& Object.keys(inner).length > 0) {', ') {', 'an empty message in a PATCH is dropped'],
      ['`${prefix}${field.name}.`)', '`${prefix}${key}.`)', 'the mask has JSON names, which backends refuse'],
      ['if (isExtension(key, registry)) this.add(`${prefix}${key}`)', '', 'an extension in a PATCH is dropped'],
      [
        "masks.find(({name}) => name === 'update_mask') ?? ",
        '',
        'a request with a read mask too is sent without an update mask',
      ],
    ],
  },
  {
    file: 'src/transcoding/checks/field-behavior.ts',
    by: ['test/functions/gateway-validation.test.ts'],
    changes: [
      ['const requiredNumber = 2', 'const requiredNumber = 1', 'required fields may be missing'],
      [
        'const isAsked = !mask || !names || mask.names([...names, field.name])',
        'const isAsked = true',
        'a PATCH of one field must have all required ones',
      ],
      [
        'if (mask && left.length > 0) mask.paths = left',
        'if (mask) mask.paths = left',
        'a PATCH of a field that only the backend may set erases all fields',
      ],
      [
        '[`[${JSON.stringify(key)}]`, child])',
        "['', child])",
        'the error for a map does not say which entry lacks a field',
      ],
    ],
  },
  {
    file: 'src/transcoding/checks/checks.ts',
    by: ['test/functions/gateway-validation.test.ts'],
    changes: [
      [
        "fieldNames === 'proto' ? ({name}) => name : ({jsonName}) => jsonName",
        '({jsonName}) => jsonName',
        'GATEWAY_FIELD_NAMES=proto is ignored by checks',
      ],
    ],
  },
  {
    file: 'src/transcoding/event-id.ts',
    by: ['test/functions/event-ids.test.ts'],
    changes: [
      [
        "if (method.methodKind !== 'server_streaming') {",
        'if (false) {',
        'GATEWAY_EVENT_ID for a unary method is ignored silently',
      ],
    ],
  },
]

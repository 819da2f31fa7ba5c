import {type DescField, type DescMessage, fromJson, type JsonValue, ScalarType, toJson} from '@bufbuild/protobuf'
import {Ajv2020} from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import test from 'ava'
import fc from 'fast-check'
import {openApi} from '../../src/transcoding/openapi/openapi.ts'
import {registry, transcode} from './schema.ts'

const document = openApi({
  ...transcode([{get: '/every'}, {post: '/old', body: '*', input: 'every.Modern', output: 'every.Old'}]),
  title: 'Test',
  version: '1.0.0',
})
const {schemas} = document.components

const ref = (name: string) => ({$ref: `#/components/schemas/${name}`})
const int32 = {type: 'integer', format: 'int32', minimum: -2147483648, maximum: 2147483647}
const double = {
  anyOf: [
    {type: 'number', format: 'double'},
    {type: 'string', enum: ['NaN', 'Infinity', '-Infinity']},
  ],
}
const base64 = {type: 'string', format: 'byte', contentEncoding: 'base64', examples: ['AQI=']}
const int64 = ref('int-64')

/** The schema of the proto3 JSON of each kind of field of every.Every. */
const properties: [field: string, schema: object][] = [
  ['name', {type: 'string'}],
  ['flag', {type: 'boolean'}],
  ['data', base64],
  ['doubleValue', double],
  ['int32Value', int32],
  ['uint32Value', {type: 'integer', format: 'uint32', minimum: 0, maximum: 4294967295}],
  ['int64Value', int64],
  ['fixed64Value', ref('uint-64')],
  ['textLong', int64],
  ['color', ref('every.Color')],
  ['child', ref('every.Child')],
  ['maybeName', {type: 'string'}],
  ['names', {type: 'array', items: {type: 'string'}}],
  ['colors', {type: 'array', items: ref('every.Color')}],
  ['children', {type: 'array', items: ref('every.Child')}],
  ['labels', {type: 'object', additionalProperties: {type: 'string'}}],
  [
    'childMap',
    {
      type: 'object',
      propertyNames: ref('int-32-key'),
      additionalProperties: ref('every.Child'),
    },
  ],
  ['colorMap', {type: 'object', propertyNames: {enum: ['true', 'false']}, additionalProperties: ref('every.Color')}],
  ['stringWrapper', {type: ['string', 'null']}],
  ['int64Wrapper', {anyOf: [int64, {type: 'null'}]}],
  ['doubleWrapper', {anyOf: [...double.anyOf, {type: 'null'}]}],
  ['longWrappers', {type: 'array', items: int64}],
  ['time', ref('google.protobuf.Timestamp')],
  ['duration', ref('google.protobuf.Duration')],
  ['mask', ref('google.protobuf.FieldMask')],
  ['struct', ref('google.protobuf.Struct')],
  ['value', ref('google.protobuf.Value')],
  ['list', ref('google.protobuf.ListValue')],
  ['any', ref('google.protobuf.Any')],
  ['empty', ref('google.protobuf.Empty')],
  ['file', ref('google.api.HttpBody')],
  ['nullValue', {type: 'null'}],
  ['otherName', {type: 'string'}],
]

for (const [field, schema] of properties) {
  test(`the schema of ${field} is ${JSON.stringify(schema)}`, (t) => {
    t.deepEqual(schemas['every.Every']?.properties?.[field] as object, schema)
  })
}

/** Types, and a part of their schemas. */
const types: [name: string, schema: object][] = [
  ['every.Color', {type: 'string', enum: ['COLOR_UNSPECIFIED', 'RED', 'GREEN']}],
  ['every.Old', {required: ['id']}],
  ['every.Old', {properties: {count: {default: 7}, '[every.weight]': int64}}],
  ['every.Child', {properties: {child: ref('every.Child')}}],
  ['every.Modern.Part', {type: 'object'}],
  ['google.protobuf.Timestamp', {type: 'string', format: 'date-time'}],
  ['google.protobuf.Struct', {type: 'object', additionalProperties: true}],
  ['google.protobuf.ListValue', {type: 'array', items: {}}],
  ['google.protobuf.Any', {type: 'object', properties: {'@type': {type: 'string'}}, additionalProperties: true}],
]

for (const [name, schema] of types) {
  test(`the schema of ${name} has ${JSON.stringify(schema)}`, (t) => t.like(schemas[name], schema))
}

test('the pattern of a FieldMask accepts `*` for any name, but not for a part of one', (t) => {
  const pattern = new RegExp(schemas['google.protobuf.FieldMask']?.pattern ?? '', 'u')
  for (const mask of ['', '*', 'a.*.bC,d']) t.regex(mask, pattern)
  for (const mask of ['a*', '**', 'a.b*', 'a,', 'a_b']) t.notRegex(mask, pattern)
})

function accepts(schema: object): (value: unknown) => boolean {
  const ajv = new Ajv2020({strict: false, logger: false})
  formats.default(ajv)
  ajv.addSchema({$id: 'https://test/openapi', ...document})
  return ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"https://test/openapi#/')))
}

/** The least and the greatest value of each range of integers; the values just outside are refused. */
const ranges: [name: string, min: bigint, max: bigint][] = [
  ['int-64', -(2n ** 63n), 2n ** 63n - 1n],
  ['uint-64', 0n, 2n ** 64n - 1n],
  ['int-32-key', -(2n ** 31n), 2n ** 31n - 1n],
]

for (const [name, min, max] of ranges) {
  test(`the pattern of ${name} accepts exactly its range`, (t) => {
    const pattern = new RegExp(schemas[name]?.pattern ?? '', 'u')
    const near = (value: bigint) => [-11n, -10n, -1n, 0n, 1n, 10n, 11n].map((delta) => value + delta)
    for (const value of [min, max, 0n, 10n ** 9n, 10n ** 18n, 10n ** 19n, 10n ** 20n, -(10n ** 18n)].flatMap(near)) {
      t.is(pattern.test(`${value}`), value >= min && value <= max, `${value}`)
    }
    fc.assert(
      fc.property(fc.bigInt({min: -(10n ** 21n), max: 10n ** 21n}), (value) => {
        t.is(pattern.test(`${value}`), value >= min && value <= max, `${value}`)
      }),
    )
    for (const text of ['', '-', '-0', '00', '1.0', '1 ', '٣']) t.false(pattern.test(text), text)
  })
}

test('the pattern of a Duration accepts exactly its range', (t) => {
  const pattern = new RegExp(schemas['google.protobuf.Duration']?.pattern ?? '', 'u')
  for (const text of ['0s', '-0.5s', '1.123456789s', '315576000000s', '-315576000000.999999999s'])
    t.regex(text, pattern)
  for (const text of ['s', '1', '315576000001s', '-400000000000s', '1.1234567890s', '01s']) t.notRegex(text, pattern)
})

/** At most one field of a oneof may be set. */
const picks: [value: object, accepted: boolean][] = [
  [{}, true],
  [{left: 'a'}, true],
  [{right: {}, name: 'a'}, true],
  [{left: 'a', right: {}}, false],
  [{right: {right: {left: 'a', right: {}}}}, false],
]

for (const [value, accepted] of picks) {
  test(`a oneof has at most one field: ${JSON.stringify(value)} is ${accepted ? '' : 'not '}accepted`, (t) => {
    t.is(accepts(ref('every.Child'))(value), accepted)
  })
}

test('the JSON that protobuf-es writes of random messages is valid by their schemas', (t) => {
  for (const name of ['every.Every', 'every.Child', 'every.Modern', 'every.Old']) {
    const desc = registry.getMessage(name)!
    const isValid = accepts(ref(name))
    fc.assert(
      fc.property(messageOf(desc, 2), (json) => {
        const written = toJson(desc, fromJson(desc, json, {registry}), {registry})
        t.true(isValid(written), JSON.stringify(written))
      }),
      {numRuns: 200},
    )
  }
})

const scalars: Partial<Record<ScalarType, fc.Arbitrary<JsonValue>>> = {
  [ScalarType.STRING]: fc.string(),
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.BYTES]: fc.uint8Array().map((value) => Buffer.from(value).toString('base64')),
  [ScalarType.DOUBLE]: fc.double().map((value) => (Number.isFinite(value) ? value : String(value))),
  [ScalarType.FLOAT]: fc.float().map((value) => (Number.isFinite(value) ? value : String(value))),
  [ScalarType.INT32]: fc.integer(),
  [ScalarType.SINT32]: fc.integer(),
  [ScalarType.SFIXED32]: fc.integer(),
  [ScalarType.UINT32]: fc.nat(),
  [ScalarType.FIXED32]: fc.nat(),
  [ScalarType.UINT64]: fc.bigInt({min: 0n, max: 2n ** 64n - 1n}).map(String),
  [ScalarType.FIXED64]: fc.bigInt({min: 0n, max: 2n ** 64n - 1n}).map(String),
}
const long = fc.bigInt({min: -(2n ** 63n), max: 2n ** 63n - 1n}).map(String)
const jsonObject = fc.dictionary(fc.string(), fc.jsonValue({maxDepth: 1}))

const wellKnown: Record<string, fc.Arbitrary<JsonValue>> = {
  Timestamp: fc
    .date({min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true})
    .map((date) => date.toISOString()),
  Duration: fc.tuple(fc.integer(), fc.nat(999)).map(([s, ms]) => `${s}.${ms}s`),
  FieldMask: fc.constantFrom('', 'name', 'child.longId,int32Value'),
  Struct: jsonObject as fc.Arbitrary<JsonValue>,
  Value: fc.jsonValue({maxDepth: 2}) as fc.Arbitrary<JsonValue>,
  ListValue: fc.array(fc.jsonValue({maxDepth: 1})) as fc.Arbitrary<JsonValue>,
  Any: fc.constantFrom<JsonValue>(
    {},
    {'@type': 'type.googleapis.com/every.Child', name: 'a'},
    {'@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s'},
  ),
  Empty: fc.constant({}),
}

function messageOf(desc: DescMessage, depth: number): fc.Arbitrary<JsonValue> {
  const special = desc.typeName.startsWith('google.protobuf.') && wellKnown[desc.name]
  if (special) return special
  if (desc.typeName.endsWith('Value') && desc.typeName.startsWith('google.')) return itemOf(desc.fields[0]!, depth)
  const fields = desc.fields.filter(({message}) => depth > 0 || !message)
  const choices = desc.oneofs.map((oneof) => fc.constantFrom(...oneof.fields.map(({jsonName}) => jsonName)))
  const record = fc.record(Object.fromEntries(fields.map((field) => [field.jsonName, fieldOf(field, depth)])), {
    requiredKeys: fields
      .filter(({name}) => desc.typeName === 'every.Old' && name === 'id')
      .map((field) => field.jsonName),
  })
  return fc.tuple(record, ...choices).map(([json, ...chosen]) => {
    const dropped = desc.fields.filter(({oneof, jsonName}) => oneof && !chosen.includes(jsonName))
    for (const {jsonName} of dropped) delete json[jsonName]
    return json as JsonValue
  })
}

function fieldOf(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  const item = itemOf(field, depth)
  if (field.fieldKind === 'list') return fc.array(item, {maxLength: 3})
  if (field.fieldKind !== 'map') return item
  const key =
    field.mapKey === ScalarType.STRING ? fc.string() : (scalars[field.mapKey]?.map(String) ?? fc.constant('1'))
  return fc.dictionary(key, item, {maxKeys: 3}) as fc.Arbitrary<JsonValue>
}

function itemOf(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  if (field.message) return messageOf(field.message, depth - 1)
  if (field.enum?.typeName === 'google.protobuf.NullValue') return fc.constant(null)
  if (field.enum) return fc.constantFrom(...field.enum.values.map(({name}) => name))
  return scalars[field.scalar!] ?? long
}

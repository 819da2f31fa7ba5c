import {type DescMessage, fromJson, type JsonObject, type JsonValue, type Message, toJson} from '@bufbuild/protobuf'
import {reflect} from '@bufbuild/protobuf/reflect'
import test from 'ava'
import fc from 'fast-check'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {createTranscoder} from '../../src/transcoding/transcoder.ts'
import {
  bound,
  caught,
  decode,
  decodeRequest,
  fieldOf,
  type RuleInit,
  readMessages,
  registry,
  transcode,
} from './schema.ts'

const update = (template: string, more: RuleInit = {}): RuleInit => ({
  patch: template,
  body: 'every',
  input: 'every.Update',
  ...more,
})

const transcoder = transcode([
  update('/e'),
  update('/e/{every.name}'),
  update('/e/{update_mask}/given'),
  update('/old', {body: 'old'}),
  update('/whole', {body: '*'}),
  update('/note', {body: 'note'}),
  {put: '/e', body: 'every', input: 'every.Update'},
  {post: '/e', body: 'every', input: 'every.Update'},
  {custom: {kind: 'patch', path: '/custom'}, body: 'every', input: 'every.Update'},
  {custom: {kind: '*', path: '/any'}, body: 'every', input: 'every.Update'},
  update('/only', {input: 'every.UpdateByOnlyMask'}),
  update('/two', {input: 'every.UpdateByTwoMasks'}),
  update('/read', {input: 'every.UpdateWithReadMask'}),
  update('/many', {input: 'every.UpdateWithMasks'}),
  update('/choice', {input: 'every.UpdateByChoice'}),
  {patch: '/mask', body: 'mask'},
  {patch: '/struct', body: 'struct'},
  {patch: '/children', body: 'children'},
  {patch: '/file', body: 'file'},
])

interface Mask {
  paths: string[]
}

function maskOf(url: string, body?: string, type = 'application/json'): readonly string[] | undefined {
  const message = decode(transcoder, 'PATCH', url, body, type) as unknown as Record<string, Mask | undefined>
  return (message.updateMask ?? message.fieldsToWrite)?.paths
}

/** Bodies, and the paths of the mask. */
const written: [words: string, body: string, paths: string[]][] = [
  ['a scalar', '{"name": "a"}', ['name']],
  ['several', '{"name": "a", "flag": true}', ['name', 'flag']],
  ['what has its zero value', '{"name": "", "flag": false, "int32Value": 0}', ['name', 'flag', 'int32_value']],
  ['JSON names', '{"int32Value": 1, "otherName": "a"}', ['int32_value', 'renamed']],
  ['proto names', '{"int32_value": 1, "renamed": "a"}', ['int32_value', 'renamed']],
  ['explicit presence', '{"maybeName": ""}', ['maybe_name']],
  ['down to what is written', '{"child": {"longId": "1", "child": {"age": 0}}}', ['child.long_id', 'child.child.age']],
  ['an empty message', '{"child": {}}', ['child']],
  ['an empty message further down', '{"child": {"name": "a", "child": {}}}', ['child.name', 'child.child']],
  ['null', '{"name": null, "child": null, "names": null}', ['name', 'child', 'names']],
  ['null further down', '{"child": {"name": null}}', ['child.name']],
  ['a repeated field', '{"names": ["a", "b"], "numbers": []}', ['names', 'numbers']],
  ['repeated messages', '{"children": [{"name": "a"}, {"age": 1}]}', ['children']],
  ['a map', '{"labels": {"a": "b"}, "longMap": {}}', ['labels', 'long_map']],
  ['a map of messages', '{"childMap": {"1": {"name": "a"}}}', ['child_map']],
  ['a member of a oneof', '{"choiceText": ""}', ['choice_text']],
  ['a message of a oneof', '{"choiceChild": {"age": 1}}', ['choice_child.age']],
  ['an empty message of a oneof', '{"choiceChild": {}}', ['choice_child']],
  ['a wrapper of a oneof', '{"choiceWrapped": "a"}', ['choice_wrapped']],
  ['a null of a oneof', '{"choiceText": null, "choiceLong": "1"}', ['choice_text', 'choice_long']],
  ['a null that is the value of a oneof', '{"choiceValue": null}', ['choice_value']],
  ['wrappers', '{"stringWrapper": "", "boolWrapper": null}', ['string_wrapper', 'bool_wrapper']],
  ['times', '{"time": "2024-02-29T12:00:00Z", "duration": "1s", "times": []}', ['time', 'duration', 'times']],
  ['a Struct', '{"struct": {"a": {"b": 1}}}', ['struct']],
  ['a Value', '{"value": {"a": 1}}', ['value']],
  ['a Value of null', '{"value": null, "nullValue": null}', ['value', 'null_value']],
  ['a ListValue', '{"list": [{"a": 1}]}', ['list']],
  ['an Any', '{"any": {"@type": "type.googleapis.com/every.Child", "name": "a"}}', ['any']],
  ['a mask of its own', '{"mask": "name,child.age"}', ['mask']],
  ['an Empty', '{"empty": {}}', ['empty']],
  ['an HttpBody', '{"file": {"contentType": "a/b"}}', ['file.content_type']],
  ['nothing', '{}', []],
]

for (const [words, body, paths] of written) {
  test(`update mask: ${words}: ${body}`, (t) => t.deepEqual(maskOf('/e', body), paths))
}

test('update mask: extensions of proto2, by their full names', (t) => {
  const body = '{"id": "1", "part": {"id": "2", "size": null}, "[every.weight]": "5"}'
  t.deepEqual(maskOf('/old', body), ['id', 'part.id', 'part.size', '[every.weight]'])
})

const form = 'application/x-www-form-urlencoded'

test('update mask: a form sets the fields that it names', (t) => {
  t.deepEqual(maskOf('/e', 'name=&int32Value=1&names=a&names=b&child.longId=1&child.name=', form), [
    'name',
    'int32_value',
    'names',
    'child.long_id',
    'child.name',
  ])
})

test('update mask: a multipart form sets the fields that it names, files too', (t) => {
  const match = transcoder.route('PATCH', '/e')
  if ('status' in match) return t.fail()
  const body = [
    {name: 'data', value: Uint8Array.of(1), filename: 'a.bin'},
    {name: 'file', value: Uint8Array.of(1), filename: 'b.bin'},
    {name: 'child.age', value: '0'},
  ]
  const message = decodeRequest(transcoder, match, {body, contentType: 'multipart/form-data; boundary=x'})
  t.deepEqual((message as unknown as {updateMask: Mask}).updateMask.paths, ['data', 'file', 'child.age'])
})

/** A mask that the caller gives, in the query or the path, is not changed. */
test('update mask: one from the caller is not changed', (t) => {
  for (const query of ['updateMask=flag,child.longId', 'update_mask=flag,child.longId']) {
    t.deepEqual(maskOf(`/e?${query}`, '{"name": "a"}'), ['flag', 'child.long_id'])
  }
  t.deepEqual(maskOf('/e?updateMask=*', '{"name": "a"}'), ['*'])
  t.deepEqual(maskOf('/e/flag/given', '{"name": "a"}'), ['flag'])
})

test('update mask: an empty one, in the query or without a body, is none', (t) => {
  t.deepEqual(maskOf('/e?updateMask=', '{"name": "a"}'), ['name'])
  t.deepEqual(maskOf('/e?readMask=flag', '{"name": "a"}'), ['name'])
  t.deepEqual(maskOf('/e', ''), [], 'there, and without paths')
  t.deepEqual(maskOf('/e', ' '), [])
})

test('update mask: fields that the path sets are not in it, unless the body has them too', (t) => {
  t.deepEqual(maskOf('/e/a', '{"flag": true}'), ['flag'])
  t.deepEqual(maskOf('/e/a', '{"name": "a", "flag": true}'), ['name', 'flag'])
})

test('update mask: the only mask of a request, with any name', (t) => {
  t.deepEqual(maskOf('/only', '{"name": "a"}'), ['name'])
})

for (const [words, url, body] of [
  ['body "*"', '/whole', '{"every": {"name": "a"}}'],
  ['a body that is no message', '/note', '"a"'],
  ['one of two masks', '/two', '{"name": "a"}'],
  ['a read mask', '/read', '{"name": "a"}'],
  ['a member of a oneof', '/choice', '{"name": "a"}'],
  ['a Struct', '/struct', '{"a": 1}'],
  ['a repeated message', '/children', '[{"name": "a"}]'],
  ['an HttpBody', '/file', '{"contentType": "a"}'],
  ['a method for all', '/any', '{"name": "a"}'],
] as const) {
  test(`update mask: none is filled in for ${words}`, (t) => {
    const message = decode(transcoder, 'PATCH', url, body)
    const masks = Object.values(message).filter(
      (value) => (value as Message | undefined)?.$typeName === 'google.protobuf.FieldMask',
    )
    t.deepEqual(masks, [])
  })
}

test('update mask: none is filled in for methods other than PATCH; a custom PATCH is one', (t) => {
  for (const method of ['PUT', 'POST']) t.is(decode(transcoder, method, '/e', '{"name": "a"}').updateMask, undefined)
  t.deepEqual(maskOf('/custom', '{"name": "a"}'), ['name'])
})

test('update mask: none is filled in if it is turned off, and a FieldMask as body is the body', (t) => {
  const off = transcode([update('/e')], {updateMask: 'off'})
  t.is(decode(off, 'PATCH', '/e', '{"name": "a"}').updateMask, undefined)
  t.deepEqual((decode(off, 'PATCH', '/e?updateMask=flag', '{}').updateMask as Mask).paths, ['flag'])
  t.deepEqual((decode(transcoder, 'PATCH', '/mask', '"name"').mask as Mask).paths, ['name'])
})

test('update mask: unknown fields that are ignored are not in it', (t) => {
  const ignoring = createTranscoder({schema: bound(update('/e')), ignoreUnknown: true})
  const body = '{"nope": 1, "child": {"nope": {}, "age": 1}, "choiceChild": {"nope": 1}, "[no.such]": 1}'
  t.deepEqual((decode(ignoring, 'PATCH', '/e', body).updateMask as Mask).paths, ['child.age'])
  t.deepEqual((decode(ignoring, 'PATCH', '/e', 'nope=1&flag=true', form).updateMask as Mask).paths, ['flag'])
})

test('update mask: errors in the body are the same as without it', (t) => {
  for (const [body, field] of [
    ['{"nope": 1}', 'every.nope'],
    ['{"child": {"age": "x"}}', 'every.child.age'],
    ['{"int32Value": 1, "int32_value": 1}', 'every.int32_value'],
    ['[]', 'every'],
    ['null', 'body'],
  ] as const) {
    t.is(fieldOf(caught(() => decode(transcoder, 'PATCH', '/e', body))), field, body)
  }
})

test('update mask: each message of a client stream has its own', (t) => {
  const match = transcoder.route('PATCH', '/e')
  if ('status' in match) return t.fail()
  const reader = readMessages(transcoder, match, {})
  const masks = [reader.json('{"name": "a"}'), reader.json('{"flag": true}'), reader.bare()]
  t.deepEqual(
    masks.map((message) => (message as unknown as {updateMask: Mask}).updateMask.paths),
    [['name'], ['flag'], []],
  )
})

test('update mask: paths that would be many times longer than their JSON are refused', (t) => {
  // A tree of 2^10 leaves at the end of 80 levels.
  const tree = (depth: number): string =>
    depth === 0 ? '{}' : `{"child":${tree(depth - 1)},"right":${tree(depth - 1)}}`
  const body = `{"child":${'{"child":'.repeat(80)}${tree(10)}${'}'.repeat(80)}}`
  const fault = caught(() => decode(transcoder, 'PATCH', '/e', body))
  t.is(httpStatusOf(fault), 400)
  t.regex(fault.message, /^Cannot make an update mask from the body: its paths have more than 262144 characters/)
  t.deepEqual(maskOf('/e', `{"child":${'{"child":'.repeat(80)}{}${'}'.repeat(80)}}`), [`${'child.'.repeat(80)}child`])
})

const every = registry.getMessage('every.Every')!

/** A resource after an update by a backend that obeys the mask: `after` at its paths, `before` elsewhere. */
function updated(before: JsonObject, after: Message, paths: readonly string[]): JsonValue {
  const resource = fromJson(every, before)
  for (const path of paths) {
    let [to, from] = [reflect(every, resource), reflect(every, after)]
    const names = path.split('.')
    const last = names.pop()!
    for (const name of names) {
      const field = fieldNamed(to.desc, name)
      if (!to.isSet(field)) to.set(field, reflect(field.message!))
      to = to.get(field) as typeof to
      from = from.get(field) as typeof from
    }
    const field = fieldNamed(to.desc, last)
    if (from.isSet(field)) to.set(field, from.get(field) as never)
    else to.clear(field)
  }
  return toJson(every, resource)
}

function fieldNamed(desc: DescMessage, name: string) {
  return desc.fields.find((field) => field.name === name)! as (typeof desc.fields)[number] & {fieldKind: 'message'}
}

/** The same in JSON: written fields replace the old ones, messages are merged, null removes. */
function merged(desc: DescMessage, before: JsonObject, patch: JsonObject): JsonObject {
  const made = {...before}
  for (const [key, value] of Object.entries(patch)) {
    const field = desc.fields.find(({jsonName}) => jsonName === key)!
    for (const member of value === null ? [] : (field.oneof?.fields ?? []))
      if (member !== field) delete made[member.jsonName]
    const isMessage = field.message?.typeName === 'every.Child' && field.fieldKind === 'message'
    if (isMessage && value !== null && Object.keys(value).length > 0) {
      made[key] = merged(field.message!, (made[key] ?? {}) as JsonObject, value as JsonObject)
    } else if (value === null) delete made[key]
    else made[key] = value
  }
  return made
}

const text = fc.constantFrom('', 'a', 'b')
const {child} = fc.letrec<{child: JsonValue}>((tie) => ({
  child: fc.record<JsonObject>(
    {
      name: text,
      age: fc.constantFrom(0, 1, 2),
      child: fc.oneof({depthSize: 'small', withCrossShrink: true}, fc.constant({}), tie('child')),
      left: text,
    } as never,
    {requiredKeys: []},
  ) as fc.Arbitrary<JsonValue>,
}))
const resource = {
  name: text,
  flag: fc.boolean(),
  child,
  maybeName: text,
  names: fc.array(text, {maxLength: 2}),
  children: fc.array(child, {maxLength: 2}),
  labels: fc.dictionary(text, text, {maxKeys: 2}),
  stringWrapper: text,
  struct: fc.dictionary(text, fc.jsonValue({maxDepth: 1}), {maxKeys: 2}),
}
const nullable = Object.fromEntries(
  Object.entries(resource).map(([key, value]) => [key, fc.option<unknown>(value as fc.Arbitrary<unknown>, {freq: 5})]),
)
const record = (fields: object, choices: readonly string[]) =>
  fc
    .tuple(fc.record(fields as never, {requiredKeys: []}), fc.constantFrom(undefined, ...choices), child)
    .map(([base, choice, child]) => {
      const made = {...(base as JsonObject), ...(choice && {[choice]: choice === 'choiceChild' ? child : 'a'})}
      // JSON text has no -0.
      return JSON.parse(JSON.stringify(made)) as JsonObject
    })
const choices = ['choiceText', 'choiceWrapped', 'choiceChild']

test('a backend that obeys the mask changes exactly the fields in the body: random resources and bodies', (t) => {
  fc.assert(
    fc.property(record(resource, choices), record(nullable, choices), (before, patch) => {
      const request = decode(transcoder, 'PATCH', '/e', JSON.stringify(patch))
      const after = (request.every ?? fromJson(every, {})) as Message
      t.deepEqual(
        updated(before, after, (request.updateMask as Mask).paths),
        toJson(every, fromJson(every, merged(every, before, patch))),
      )
    }),
    {numRuns: 500},
  )
})

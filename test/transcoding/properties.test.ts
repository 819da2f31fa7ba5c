import {fromJson, fromJsonString, type JsonValue, type Message, toBinary, toJson} from '@bufbuild/protobuf'
import test from 'ava'
import fc from 'fast-check'
import {Fault} from '../../src/core/fault.ts'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {streamWriter} from '../../src/http/response/stream-format.ts'
import {JsonSplitter} from '../../src/transcoding/json/splitter.ts'
import {parseJson} from '../../src/transcoding/json/text.ts'
import {type StreamType, streamTypes} from '../../src/transcoding/media.ts'
import {type MetadataEntry, mayBeSet, requestMetadata, responseHeaders} from '../../src/transcoding/metadata.ts'
import {ValueCount} from '../../src/transcoding/value-count.ts'
import {anyText} from '../helpers/text.ts'
import {type ClientRule, encode} from './encoder.ts'
import {type PlainJson, plainJson} from './plain-json.ts'
import {decodeRequest, encodeMessage, registry, transcode} from './schema.ts'

/** TRANSCODING_RUNS multiplies the number of runs, for a script that runs as long as one likes. */
const scale = Number(process.env.TRANSCODING_RUNS ?? 1)
const runs = (count: number) => ({numRuns: count * scale})

const every = registry.getMessage('every.Every')!

const text = anyText({maxLength: 12})
const long = fc.bigInt({min: -(2n ** 63n), max: 2n ** 63n - 1n}).map(String)
const int = fc.integer({min: -(2 ** 31), max: 2 ** 31 - 1})
const color = fc.constantFrom('RED', 'GREEN', 77)
const bytes = fc.uint8Array({maxLength: 9}).map((value) => Buffer.from(value).toString('base64'))
const double = fc.double().map((value) => (Number.isFinite(value) ? value : String(value)))
const float = fc.float().map((value) => (Number.isFinite(value) ? value : String(value)))
const time = fc
  .date({min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true})
  .map((date) => date.toISOString())
const duration = fc
  .tuple(fc.integer({min: -1e9, max: 1e9}), fc.integer({min: 0, max: 999}))
  .map(([s, ms]) => `${s}.${ms}s`)
const mask = fc
  .array(fc.constantFrom('name', 'child.longId', 'int32Value'), {maxLength: 3})
  .map((paths) => paths.join(','))

const {child} = fc.letrec<{child: JsonValue}>((tie) => ({
  child: fc.oneof(
    {depthSize: 'small', withCrossShrink: true},
    // At least one field, because a query cannot express an empty message.
    fc.record({name: text, age: int, long_id: long}, {requiredKeys: ['name']}),
    fc.record({name: text, left: text, child: tie('child')}, {requiredKeys: ['child']}),
  ) as fc.Arbitrary<JsonValue>,
}))

/** Fields that a query can set: primitives, repeated and nested ones, and well-known types. */
const queryable = {
  name: text,
  flag: fc.boolean(),
  data: bytes,
  double_value: double,
  float_value: float,
  int32_value: int,
  uint32_value: fc.nat(),
  int64_value: long,
  sfixed64_value: long,
  text_long: long,
  color,
  child,
  maybe_name: text,
  maybe_number: int,
  names: fc.array(text, {maxLength: 3}),
  numbers: fc.array(int, {maxLength: 3}),
  longs: fc.array(long, {maxLength: 3}),
  colors: fc.array(color, {maxLength: 3}),
  datas: fc.array(bytes, {maxLength: 3}),
  string_wrapper: text,
  int64_wrapper: long,
  bool_wrapper: fc.boolean(),
  time,
  duration,
  mask,
  renamed: text,
}

/** Fields that only a body can set. */
const bodied = {
  children: fc.array(child, {maxLength: 3}),
  labels: fc.dictionary(text, text, {maxKeys: 3}),
  long_map: fc.dictionary(text, long, {maxKeys: 3}),
  struct: fc.dictionary(text, fc.jsonValue({maxDepth: 2}), {maxKeys: 3}),
  // A null as the whole body is refused, also for a google.protobuf.Value.
  value: fc.jsonValue({maxDepth: 3}).filter((value) => value !== null),
  values: fc.array(fc.jsonValue({maxDepth: 2}), {maxLength: 3}),
}

const filled = anyText({minLength: 1, maxLength: 8})
const segment = filled.filter((value) => !value.includes('/'))

/** The variables of random templates: their text in the template, and matching values. */
const variables = [
  {field: 'name', written: '{name}', value: filled},
  {field: 'name', written: '{name=shelves/*}', value: segment.map((last) => `shelves/${last}`)},
  {
    field: 'name',
    written: '{name=shelves/*/books/*}',
    value: fc.tuple(segment, segment).map(([a, b]) => `shelves/${a}/books/${b}`),
  },
  {
    field: 'name',
    written: '{name=**}',
    value: fc.array(segment, {maxLength: 3}).map((all) => all.join('/')),
    last: true,
  },
  {
    field: 'name',
    written: '{name=**}/end',
    value: fc.array(segment, {maxLength: 3}).map((all) => all.join('/')),
    last: true,
  },
  {field: 'renamed', written: '{renamed=*}', value: filled},
  {field: 'child.name', written: '{child.name}', value: filled},
  {field: 'int32_value', written: '{int32_value}', value: int},
  {field: 'int64_value', written: '{int64_value}', value: long},
  {field: 'flag', written: '{flag}', value: fc.boolean()},
  {field: 'color', written: '{color}', value: color},
  {field: 'double_value', written: '{double_value}', value: double},
  {field: 'data', written: '{data}', value: bytes.filter((value) => value !== '')},
  {field: 'time', written: '{time}', value: time},
  {field: 'maybe_name', written: '{maybe_name}', value: filled},
]
type Variable = (typeof variables)[number]

const template = fc
  .tuple(
    fc.uniqueArray(fc.constantFrom<Variable>(...variables), {selector: ({field}) => field, maxLength: 4}),
    fc.array(fc.constantFrom('v1', 'a%2Fb', 'x.y'), {minLength: 4, maxLength: 4}),
    fc.constantFrom('', ':cancel'),
    fc.constantFrom('', '*', 'child', 'children', 'labels', 'struct', 'value', 'name', 'longs'),
  )
  .map(([chosen, literals, verb, body]) => {
    const used = chosen
      .filter(({field}) => field !== body)
      .toSorted((left, right) => Number(left.last ?? false) - Number(right.last ?? false))
    const path = used.map(({written}, index) => `/${literals[index]}/${written}`).join('')
    return {used, rule: {template: `${path || '/none'}${verb}`, body} satisfies ClientRule}
  })

function messageFor(used: readonly Variable[], body: string): fc.Arbitrary<Record<string, JsonValue>> {
  const extra = body === '*' ? bodied : body in bodied ? {[body]: bodied[body as keyof typeof bodied]} : {}
  const base = fc.record<Record<string, JsonValue>>({...queryable, ...extra} as never, {requiredKeys: []})
  return fc.tuple(base, ...used.map(({value}) => value as fc.Arbitrary<JsonValue>)).map(([message, ...values]) => {
    for (const [index, {field}] of used.entries()) {
      const [first = '', second] = field.split('.')
      if (second) message[first] = {...(message[first] as object), [second]: values[index]!}
      else message[first] = values[index]!
    }
    // JSON text has no -0: JSON.stringify() writes 0.
    return JSON.parse(JSON.stringify(message)) as typeof message
  })
}

test('a request by an independent client is decoded to the same message, for random messages and templates', (t) => {
  const cases = template.chain(({used, rule}) =>
    fc.tuple(fc.constant(rule), fc.array(messageFor(used, rule.body), {minLength: 3, maxLength: 3})),
  )
  fc.assert(
    fc.property(cases, ([rule, messages]) => {
      const transcoder = transcode([{post: rule.template, body: rule.body}])
      t.deepEqual(transcoder.problems, [])
      for (const message of messages) {
        const {path, query, body} = encode(rule, message)
        const match = transcoder.route('POST', path)
        if ('status' in match) throw new Error(`${match.status} for ${path} of ${rule.template}`)
        const decoded = decodeRequest(transcoder, match, {query, body})
        t.deepEqual(toJson(every, decoded), toJson(every, fromJson(every, message)))
      }
    }),
    runs(300),
  )
})

const names = [...Object.keys(queryable), ...Object.keys(bodied), 'nope', 'choice_text', 'choice_long', 'any', 'times']
const shard = fc.oneof(
  fc.constantFrom(
    ...names,
    'v1',
    'raw',
    'old',
    '/',
    ':cancel',
    ':',
    '%2F',
    '%',
    '%ff',
    '%e2%82%ac',
    '..',
    '+',
    '',
    '&',
    '=',
  ),
  fc.constantFrom(
    '.',
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    '\\',
    '1',
    '9007199254740993',
    '1e999',
    'null',
    'true',
    '{}',
    '"@type"',
  ),
  fc.string({unit: fc.integer({min: 0, max: 255}).map((byte) => String.fromCharCode(byte)), maxLength: 3}),
)
const junk = fc.array(shard, {maxLength: 12}).map((shards) => shards.join(''))
const junkJson = fc.oneof(
  junk,
  fc
    .dictionary(fc.constantFrom(...names), fc.jsonValue({maxDepth: 3}), {maxKeys: 4})
    .map((value) => JSON.stringify(value)),
  fc.json(),
)
const junkBody = fc.oneof(
  fc.uint8Array({maxLength: 40}),
  junkJson.map((value) => new TextEncoder().encode(value)),
  fc.constant(undefined),
)
const junkPath = junk.map((rest) => `/${rest}`)
const junkQuery = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(...names), junk), junk), {maxLength: 5})
  .map((pairs) => pairs.map((pair) => pair.join('=')).join('&'))

const everything = transcode([
  {get: '/v1/{name}'},
  {get: '/v1/{name=**}:cancel'},
  {get: '/{int32_value}/{child.name=old/*}'},
  {get: '/{time}/{data}/{color}'},
  {get: '/**'},
  {post: '/v1/{name}', body: '*'},
  {post: '/old/{id}', body: '*', input: 'every.Old'},
  {post: '/**', body: 'child'},
  {put: '/v1/**', body: 'value'},
  {put: '/old/**', body: 'any'},
  {put: '/**', body: 'children'},
  {patch: '/**', body: '*', input: 'google.protobuf.Struct'},
  {delete: '/**', body: 'file'},
])
const contentTypes = [undefined, 'application/json', 'application/x-www-form-urlencoded', 'text/plain', 'a;b=c;;']

test('random bytes in path, query, body and headers give a message that can be sent, or a fault of 4xx', (t) => {
  const methods = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', '')
  const outcomes = new Map<string, number>()
  fc.assert(
    fc.property(
      methods,
      junkPath,
      junkQuery,
      junkBody,
      fc.constantFrom(...contentTypes),
      (method, path, query, body, type) => {
        const outcome = attempt(() => {
          const match = everything.route(method, path)
          if ('status' in match) return `${match.status}`
          const message = decodeRequest(everything, match, {query, body, contentType: type})
          toBinary(match.binding.method.input, message)
          return 'ok'
        })
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      },
    ),
    runs(3000),
  )
  t.true(outcomes.has('ok') && outcomes.has('400'), `${[...outcomes]}`)
  const header = fc.tuple(
    fc.oneof(junk, fc.constantFrom('grpc-metadata-a-bin', 'grpc-metadata-a', 'traceparent')),
    junk,
  )
  fc.assert(
    fc.property(fc.array(header, {maxLength: 4}), (headers) => {
      attempt(() => `${requestMetadata(Object.fromEntries(headers)).length}`)
    }),
    runs(300),
  )
  t.pass()
})

test('random JSON of the right types gives a message that can be sent, or a fault of 4xx', (t) => {
  const match = everything.route('POST', '/v1/x')
  if ('status' in match) throw new Error('no such path')
  const value = fc.oneof(
    fc.jsonValue({maxDepth: 2}),
    junk,
    long,
    double,
    time,
    duration,
    bytes,
    fc.constant({}),
    fc.constant([]),
  )
  const fields = every.fields.map(({name}) => name)
  let good = 0
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...fields), value as fc.Arbitrary<JsonValue>, {maxKeys: 3}), (body) => {
      const outcome = attempt(() => {
        const message = decodeRequest(everything, match, {body: JSON.stringify(body)})
        toBinary(every, message)
        // An accepted message is understood: its own JSON is accepted too, and gives the same message.
        const again = decodeRequest(everything, match, {body: encodeMessage(everything, match.binding, message)})
        if (Buffer.compare(toBinary(every, message), toBinary(every, again)) !== 0) throw new Error('another message')
        return 'ok'
      })
      if (outcome === 'ok') good++
    }),
    runs(1500),
  )
  t.true(good > 0)
})

function attempt(act: () => string): string {
  try {
    return act()
  } catch (error) {
    if (error instanceof Fault && httpStatusOf(error) >= 400 && httpStatusOf(error) < 500)
      return `${httpStatusOf(error)}`
    throw error
  }
}

/** The output of a splitter for `input` cut at `cuts`: the values, and the error at the end if there is one. */
function split(input: Uint8Array, cuts: readonly number[]): string[] {
  const splitter = new JsonSplitter({maxBytes: 200, maxDepth: 5})
  const seen: string[] = []
  const places = [
    0,
    ...cuts.map((cut) => cut % (input.length + 1)).toSorted((left, right) => left - right),
    input.length,
  ]
  try {
    for (const [index, place] of places.slice(1).entries())
      seen.push(...splitter.push(input.slice(places[index], place)))
    seen.push(...splitter.end())
  } catch (error) {
    seen.push(error instanceof Fault && httpStatusOf(error) < 500 ? `fault: ${httpStatusOf(error)}` : `${error}`)
  }
  return seen
}

const cuts = fc.array(fc.nat(), {maxLength: 8})
const values = fc.array(
  fc.jsonValue({maxDepth: 3, stringUnit: 'binary'}).map((value) => JSON.stringify(value)),
  {maxLength: 5},
)
const joins: ((texts: string[]) => string)[] = [
  (texts) => texts.map((value) => `${value}\n`).join(''),
  (texts) => texts.join(' '),
  (texts) => `[${texts.join(',')}]`,
  (texts) => ` [ ${texts.join(' , ')} ] `,
]

test('accepted JSON means the same to the codec of protobuf-es, and what that refuses is refused', (t) => {
  const match = everything.route('POST', '/v1/x')
  if ('status' in match) throw new Error('no such path')
  const fields = every.fields.filter(({name, number}) => number > 1 && name in queryable)
  t.true(fields.length > 10)
  const bound = every.fields.find(({number}) => number === 1)!.name
  const some = fc.constantFrom(...fields.map(({name}) => name)).chain((name) => {
    const good = queryable[name as keyof typeof queryable] as fc.Arbitrary<JsonValue>
    return fc.tuple(
      fc.constant(name),
      fc.oneof({weight: 3, arbitrary: good}, fc.jsonValue({maxDepth: 1}) as fc.Arbitrary<JsonValue>),
    )
  })
  let [taken, refused] = [0, 0]
  fc.assert(
    fc.property(
      fc.array(some, {maxLength: 4}).map((pairs) => Object.fromEntries(pairs)),
      (body) => {
        const ours = bytesOr(() => decodeRequest(everything, match, {body: JSON.stringify(body)}))
        const text = JSON.stringify({...body, [bound]: 'x'}, exactly)
        const theirs = bytesOr(() => fromJsonString(every, text, {registry}))
        if (ours) t.deepEqual(ours, theirs)
        if (ours) taken++
        else refused++
      },
    ),
    runs(1500),
  )
  t.true(taken > 100 && refused > 100, `${taken} taken, ${refused} refused`)
})

/** An integer of 64 bits as text: that codec rounds its digits to a double's, which ours does not. */
function exactly(_name: string, value: unknown): unknown {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? String(value) : value
}

/** The message that `read` returns, as bytes; undefined if it refuses. */
function bytesOr(read: () => Message): Uint8Array | undefined {
  try {
    return toBinary(every, read())
  } catch {
    return undefined
  }
}

test('metadata becomes headers, and comes back from them unchanged', (t) => {
  const key = fc.stringMatching(/^x-[a-z0-9_.-]{0,8}$/).filter((name) => !name.endsWith('-bin') && mayBeSet(name))
  const printable = fc.stringMatching(/^[!-~]([ -~]{0,10}[!-~])?$/)
  const entry: fc.Arbitrary<MetadataEntry> = fc.oneof(
    fc.tuple(key, printable),
    fc.tuple(
      key.map((name) => `${name}-bin`),
      fc.uint8Array({maxLength: 20}),
    ),
  )
  fc.assert(
    fc.property(fc.uniqueArray(entry, {maxLength: 5, selector: ([name]) => name}), (entries) => {
      const headers = Object.fromEntries(responseHeaders(entries))
      t.deepEqual(
        requestMetadata(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
        entries.map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
      )
    }),
    runs(500),
  )
})

test('the splitter gives the same values for any chunking', (t) => {
  fc.assert(
    fc.property(values, fc.nat(3), cuts, (texts, join, places) => {
      const whole = joins[join]!(texts)
      // An array that is alone in the input is an array of values.
      fc.pre(join > 1 || !texts[0]?.startsWith('['))
      fc.pre(texts.every((value) => value.length < 50))
      const splitter = new JsonSplitter()
      const bytes = new TextEncoder().encode(whole)
      t.deepEqual([...splitter.push(bytes), ...splitter.end()], texts)
      t.deepEqual(split(bytes, places), split(bytes, []))
    }),
    runs(700),
  )
  fc.assert(
    fc.property(junkBody, cuts, (bytes = new Uint8Array(), places) => {
      t.deepEqual(split(bytes, places), split(bytes, []))
    }),
    runs(700),
  )
})

/**
 * JSON text with everything that its reader looks at: quotes, escapes, equal keys, long numbers, white space. Some of it is
 * broken.
 */
const jsonText = fc.letrec<{value: string}>((tie) => {
  const space = fc.constantFrom('', '', '', ' ', '\n\t')
  const piece = fc.constantFrom('a', 'b', '\\"', '\\\\', '\\u0061', '\\n', 'é', '漢', '{', ']', ':', ',', '1', ' ')
  const string = fc.array(piece, {maxLength: 6}).map((pieces) => `"${pieces.join('')}"`)
  const digits = fc.oneof(
    fc.stringMatching(/^-?(0|[1-9][0-9]{0,21})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?$/),
    fc.stringMatching(/^-?[1-9]([0-9]{15,19}|\.[0-9]{1,9}[eE]\+?1[0-9])$/),
  )
  const key = fc.oneof(string, fc.constantFrom('"a"', '"b"', '"\\u0061"'))
  const pair = fc.tuple(key, space, space, tie('value')).map(([name, a, b, value]) => `${name}${a}:${b}${value}`)
  const list = (item: fc.Arbitrary<string>) =>
    fc.tuple(fc.array(item, {maxLength: 4}), space).map(([items, gap]) => items.join(`${gap},${gap}`))
  return {
    value: fc.oneof(
      {depthSize: 'small', withCrossShrink: true},
      string,
      digits,
      fc.constantFrom('true', 'false', 'null'),
      fc.tuple(space, list(tie('value'))).map(([gap, items]) => `[${gap}${items}]`),
      fc.tuple(space, list(pair)).map(([gap, items]) => `{${items}${gap}}`),
    ),
  }
}).value

const broken = fc
  .tuple(jsonText, fc.nat(), fc.nat(2), fc.constantFrom(...'"\\{}[]:,-0123.eE tn\u0001\ufeff'))
  .map(([text, place, cut, char]) => {
    const at = place % (text.length + 1)
    return `${text.slice(0, at)}${char}${text.slice(at + cut)}`
  })

test('JSON is read, counted and refused as by a reader that looks at each character', (t) => {
  const outcome = (read: () => unknown) => {
    try {
      return {value: read()}
    } catch {
      return 'refused'
    }
  }
  fc.assert(
    fc.property(fc.oneof(jsonText, broken), (text) => {
      const plain = outcome(() => plainJson(text)) as 'refused' | {value: PlainJson}
      if (plain === 'refused') {
        t.is(outcome(() => parseJson(text)) as string, 'refused')
        return
      }
      const {value, count} = plain.value
      t.deepEqual(
        outcome(() => parseJson(text, new ValueCount(count))),
        {value},
      )
      t.is(outcome(() => parseJson(text, new ValueCount(count - 1))) as string, 'refused')
    }),
    runs(2000),
  )
})

/** Strict readers: whether `text`, from a response that ended normally, is complete and successful. */
const complete = {
  'application/json': (text) => {
    try {
      return Array.isArray(JSON.parse(text))
    } catch {
      return false
    }
  },
  'application/x-ndjson': (text) =>
    (text === '' || text.endsWith('\n')) &&
    text
      .split('\n')
      .slice(0, -1)
      .every((line) => !('error' in JSON.parse(line))),
  'text/event-stream': (text) => /(^|\n\n)id: \d+;end\nevent: end\ndata: \{\}\n\n$/.test(text),
} as const satisfies Record<StreamType, (text: string) => boolean>

test('no prefix of a failed stream reads as complete, except for lines, where the connection is reset', (t) => {
  const messages = fc.array(fc.dictionary(fc.constantFrom('a', 'b'), text), {minLength: 1, maxLength: 4})
  fc.assert(
    fc.property(fc.constantFrom(...streamTypes), messages, text, (type, sent, reason) => {
      const good = streamWriter(type)
      t.true(complete[type](sent.map((message) => good.next(JSON.stringify(message))).join('') + good.end()))
      const bad = streamWriter(type)
      const before = sent.map((message) => bad.next(JSON.stringify(message))).join('')
      const whole = before + bad.fail(new Fault('INTERNAL', reason), 'aip')
      t.false(complete[type](whole))
      // In an array or in events, any cut is visible; in lines, only a cut after the error's first character.
      const from = type === 'application/x-ndjson' ? before.length + 1 : 0
      for (let end = from; end < whole.length; end++) t.false(complete[type](whole.slice(0, end)))
    }),
    runs(300),
  )
})

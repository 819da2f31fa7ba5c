import type {JsonValue} from '@bufbuild/protobuf'
import fc from 'fast-check'
import {anyText} from '../helpers/text.ts'
import type {ClientRule} from '../transcoding/encoder.ts'

/** A variable of a random template: its field, its text in the template, and matching values. */
interface Variable {
  readonly field: string
  readonly written: string
  readonly value: fc.Arbitrary<JsonValue>
  /** Whether no other variable may follow. */
  readonly last?: boolean
}

const filled = anyText({minLength: 1, maxLength: 8})
const segment = filled.filter((value) => !value.includes('/'))
const segments = fc.array(segment, {maxLength: 3}).map((all) => all.join('/'))

const variables: readonly Variable[] = [
  {field: 'name', written: '{name}', value: filled},
  {field: 'name', written: '{name=shelves/*}', value: segment.map((last) => `shelves/${last}`)},
  {
    field: 'name',
    written: '{name=shelves/*/books/*}',
    value: fc.tuple(segment, segment).map(([shelf, book]) => `shelves/${shelf}/books/${book}`),
  },
  {field: 'name', written: '{name=**}', value: segments, last: true},
  {field: 'name', written: '{name=**}/end', value: segments, last: true},
  {field: 'renamed', written: '{renamed=*}', value: filled},
  {field: 'child.name', written: '{child.name}', value: filled},
  {field: 'int32_value', written: '{int32_value}', value: fc.integer()},
  {field: 'uint64_value', written: '{uint64_value}', value: fc.bigInt({min: 0n, max: 2n ** 64n - 1n}).map(String)},
  {field: 'flag', written: '{flag}', value: fc.boolean()},
  {field: 'color', written: '{color}', value: fc.constantFrom<JsonValue>('RED', 'GREEN', 77)},
  {
    field: 'data',
    written: '{data}',
    value: fc.uint8Array({minLength: 1, maxLength: 9}).map((bytes) => Buffer.from(bytes).toString('base64')),
  },
  {field: 'maybe_name', written: '{maybe_name}', value: filled},
]

const bodies = [
  '',
  '',
  '*',
  '*',
  'child',
  'children',
  'labels',
  'struct',
  'value',
  'list',
  'longs',
  'any',
  'int64_wrapper',
]

/** A rule of random.proto, as its clients use it. */
export interface RandomRule {
  readonly rule: ClientRule
  readonly variables: readonly Variable[]
}

const template = fc
  .record({
    chosen: fc.uniqueArray(fc.constantFrom(...variables), {selector: ({field}) => field, maxLength: 4}),
    literals: fc.array(fc.constantFrom('v1', 'a%2Fb', 'x.y', '~', "o'"), {minLength: 4, maxLength: 4}),
    verb: fc.constantFrom('', '', ':cancel'),
    body: fc.constantFrom(...bodies),
  })
  .map(({chosen, literals, verb, body}) => {
    const used = chosen.filter(({field}) => field.split('.')[0] !== body)
    used.sort((left, right) => Number(left.last ?? false) - Number(right.last ?? false))
    const path = used.map(({written}, index) => `/${literals[index]}/${written}`).join('')
    return {path: `${path}${verb}`, body, variables: used}
  })

/** The proto of a service `random.Random` with `count` random templates, and the rules for its clients. */
export function randomRules(count: number): {proto: string; rules: readonly RandomRule[]} {
  const rules = fc.sample(template, count).map(({path, body, variables}, index) => ({
    // Its own first segment, so that no rule matches another one's requests.
    rule: {template: `/r${index}${path}`, body},
    variables,
  }))
  const methods = rules.map(
    ({rule: {template, body}}, index) =>
      `rpc M${index}(every.Every) returns (every.Every) { option (google.api.http) = {post: "${template}" body: "${body}"}; }`,
  )
  const proto = `syntax = "proto3";
package random;
import "every/every.proto";
import "google/api/annotations.proto";
service Random {
${methods.join('\n')}
}
`
  return {proto, rules}
}

import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {create, createFileRegistry, type FileRegistry, fromBinary, setExtension, toBinary} from '@bufbuild/protobuf'
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodDescriptorProtoSchema,
  MethodOptionsSchema,
  ServiceDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt'
import {http} from '../src/gen/google/api/annotations_pb.js'
import {HttpRuleSchema} from '../src/gen/google/api/http_pb.js'
import {createTranscoder} from '../src/transcoding/transcoder.ts'
import {median} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/** The cost of a look-up among 10 and among 5,000 bindings, which must not grow with their number. */
const rounds = roundsOr(15)
const lookups = 200_000
/** Aim for 5,000 bindings, as a multiple of 10. */
const aim = 1.3

const set = fromBinary(FileDescriptorSetSchema, readFileSync(join(import.meta.dirname, '../src/gen/descriptors.binpb')))

const few = lookup(10)
const many = lookup(5000)
const cost: {few: number[]; many: number[]} = {few: [], many: []}
for (let round = 0; round <= rounds; round++) {
  for (const [name, run] of [
    ['few', few],
    ['many', many],
  ] as const) {
    const measured = run()
    if (round > 0) cost[name].push(measured)
  }
}
const ratio = median(cost.many) / median(cost.few)
keep('routing', [
  {
    title: `${lookups} look-ups, medians of ${rounds}`,
    rows: {
      '10 bindings': {'ns a look-up': spreadOf(cost.few)},
      '5,000 bindings': {'ns a look-up': spreadOf(cost.many)},
    },
    verdict: `Ratio ${ratio.toFixed(2)} (aim: under ${aim}).`,
  },
])
if (ratio >= aim) process.exitCode = 1

/** Makes a function that measures look-ups among `count` bindings, in ns each, always for the same ten paths. */
function lookup(count: number): () => number {
  const transcoder = createTranscoder({schema: registryOf(count), services: ['bench.Many']})
  if (transcoder.bindings.length !== count) throw new Error(transcoder.problems.join('\n'))
  const paths = Array.from({length: 10}, (_, i) => `/v1/kinds/k${i}/users/ada/items/${i}`)
  return () => {
    const began = process.hrtime.bigint()
    for (let i = 0; i < lookups; i++) transcoder.route('GET', paths[i % paths.length]!)
    return Number(process.hrtime.bigint() - began) / lookups
  }
}

function registryOf(count: number): FileRegistry {
  const method = Array.from({length: count}, (_, i) => {
    const options = create(MethodOptionsSchema)
    const get = `/v1/kinds/k${i}/users/{pong.message}/items/{pong.index}`
    setExtension(options, http, create(HttpRuleSchema, {pattern: {case: 'get', value: get}}))
    // As if read from a file, where extensions are unknown fields.
    const read = fromBinary(MethodOptionsSchema, toBinary(MethodOptionsSchema, options))
    const type = {inputType: '.ping.Response', outputType: '.ping.Response'}
    return create(MethodDescriptorProtoSchema, {name: `M${i}`, ...type, options: read})
  })
  const file: FileDescriptorProto = create(FileDescriptorProtoSchema, {
    name: 'bench/many.proto',
    package: 'bench',
    syntax: 'proto3',
    dependency: ['ping/ping.proto'],
    service: [create(ServiceDescriptorProtoSchema, {name: 'Many', method})],
  })
  return createFileRegistry(create(FileDescriptorSetSchema, {file: [...set.file, file]}))
}

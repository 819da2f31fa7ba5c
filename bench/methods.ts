import {create, setExtension} from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  MethodOptionsSchema,
} from '@bufbuild/protobuf/wkt'
import {http} from '../src/gen/google/api/annotations_pb.js'
import {HttpRuleSchema} from '../src/gen/google/api/http_pb.js'
import {type ColdFigures, coldStart, firstRequests} from './lib/cold-process.ts'
import {deployed} from './lib/deployed.ts'
import {descriptorFile, descriptors} from './lib/descriptors.ts'
import {end, median, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/**
 * The start of the built gateway until its first answer, with a descriptor set of few and of many methods. Each method has a rule
 * and its own messages.
 */
const rounds = roundsOr(9)
const few = 10
const many = 5000
/** Methods per file: as in a team that has a file for each service. */
const perFile = 50
/** Aims: the start with many methods, as a multiple of the start with few; and resident memory, in KiB per method. */
const aims = {start: 1.5, memory: 10}

using build = await deployed()
const stack = await stackProcess({size: 0})
const figures: Record<string, ColdFigures[]> = {}
for (const count of [few, many]) figures[count] = []
{
  using small = descriptorFile(descriptors(setOf(few)))
  using large = descriptorFile(descriptors(setOf(many)))
  const start = {project: build.folder, target: 'gateway', ...firstRequests.gateway}
  for (let round = 0; round < rounds; round++) {
    for (const [count, {path}] of [
      [few, small],
      [many, large],
    ] as const) {
      const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench', GATEWAY_DESCRIPTORS: path}
      figures[count]!.push(await coldStart(start, env))
    }
  }
}
await end(stack.child, 'stop')

const of = (count: number, key: keyof ColdFigures) => figures[count]!.map((figure) => figure[key] ?? Number.NaN)
const ratio = median(of(many, 'ms')) / median(of(few, 'ms'))
const memory = ((median(of(many, 'rss')) - median(of(few, 'rss'))) * 1024) / (many - few)
keep('methods', [
  {
    title: `From the start of the process to the end of its first answer, ${rounds} times each`,
    rows: Object.fromEntries(
      [few, many].map((count) => [
        `${count} methods`,
        {ms: spreadOf(of(count, 'ms')), 'CPU ms': spreadOf(of(count, 'cpu')), 'idle MiB': spreadOf(of(count, 'rss'))},
      ]),
    ),
    verdict: `The start takes ${ratio.toFixed(2)} times as long (aim: at most ${aims.start}), and a method ${memory.toFixed(1)} KiB (aim: under ${aims.memory}).`,
  },
])
if (ratio > aims.start || memory >= aims.memory) process.exitCode = 1

function setOf(count: number): FileDescriptorSet {
  const indexes = Array.from({length: count}, (_, index) => index)
  const groups = Object.values(Object.groupBy(indexes, (index) => Math.floor(index / perFile)))
  const file = groups.map((methods, group) => ({
    name: `many/v${group}/service.proto`,
    package: `many.v${group}`,
    syntax: 'proto3',
    dependency: ['google/api/annotations.proto'],
    messageType: methods!.flatMap((index) => [messageOf(`Get${index}Request`), messageOf(`Item${index}`)]),
    service: [{name: 'Service', method: methods!.map((index) => methodOf(`many.v${group}`, index))}],
  }))
  return create(FileDescriptorSetSchema, {file})
}

function messageOf(name: string): DescriptorProto {
  const label = FieldDescriptorProto_Label.OPTIONAL
  const {STRING, INT64, BOOL} = FieldDescriptorProto_Type
  const field = [
    {name: 'name', jsonName: 'name', number: 1, type: STRING, label},
    {name: 'page_size', jsonName: 'pageSize', number: 2, type: INT64, label},
    {name: 'show_deleted', jsonName: 'showDeleted', number: 3, type: BOOL, label},
  ]
  return create(DescriptorProtoSchema, {name, field})
}

function methodOf(where: string, index: number) {
  const options = create(MethodOptionsSchema)
  const get = `/v1/kinds/k${index}/{name=items/*}`
  setExtension(options, http, create(HttpRuleSchema, {pattern: {case: 'get', value: get}}))
  return {name: `Get${index}`, inputType: `.${where}.Get${index}Request`, outputType: `.${where}.Item${index}`, options}
}

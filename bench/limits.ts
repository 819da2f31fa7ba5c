import {once} from 'node:events'
import {request} from 'node:http'
import {buildSchema} from '../test/functions/gateway-schema.ts'
import {ask, end, functionProcess, heapOf256MiB, stackProcess, type Usage} from './lib/processes.ts'
import {type Cell, keep} from './lib/results.ts'

/**
 * The effect of one expensive request, and of many at the same time, on an instance of 256 MiB: the answers to bodies of up to 1 MiB
 * that are made to be expensive, their CPU, their memory, and how long they block all other requests.
 */
const mostMemory = 256
/** Aim for the time that one body may block all others, in ms. */
const mostHold = 50

const MiB = 1024 * 1024
const maxValues = 19_990

const schema = buildSchema({
  'limits.proto': `
    syntax = "proto3";
    package limits;
    import "google/api/annotations.proto";
    import "google/protobuf/any.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    message Node {
      string name = 1;
      bytes data = 2;
      repeated Node many = 3;
      repeated Wide wide = 4;
      repeated string names = 5;
      repeated int64 longs = 6;
      map<string, string> labels = 7;
      repeated google.protobuf.Timestamp times = 8;
      google.protobuf.Any any = 9;
      google.protobuf.Struct struct = 10;
      google.protobuf.FieldMask mask = 11;
    }
    message Wide {
      ${Array.from({length: 30}, (_, index) => `string s${index} = ${index + 1};`).join('\n')}
      ${Array.from({length: 30}, (_, index) => `repeated string r${index} = ${index + 31};`).join('\n')}
    }
    service Nodes {
      rpc Take(Node) returns (Node) {option (google.api.http) = {post: "/take" body: "*"};}
    }`,
})

function times(count: number, text: string, separator = ','): string {
  return Array(count).fill(text).join(separator)
}

function nestedAny(levels: number, size: number): string {
  const type = '"@type":"type.googleapis.com/limits.Node"'
  return `{"any":${`{${type},"any":`.repeat(levels)}{${type},"name":"${'a'.repeat(size)}"}${'}'.repeat(levels)}}`
}

const json = {'content-type': 'application/json'}
const form = {'content-type': 'application/x-www-form-urlencoded'}
const multipart = {'content-type': 'multipart/form-data; boundary=x'}
const part = '--x\r\ncontent-disposition: form-data; name="names"\r\n\r\na\r\n'

const bodies: Record<string, [headers: Record<string, string>, body: string]> = {
  '350,000 messages': [json, `{"many":[${times(349_500, '{}')}]}`],
  '20,000 messages': [json, `{"many":[${times(maxValues, '{}')}]}`],
  '3,900 messages of 60 fields': [json, `{"wide":[${times(3900, '{}')}]}`],
  '20,000 strings': [json, `{"names":[${times(maxValues, `"${'a'.repeat(48)}"`)}]}`],
  '20,000 entries of a map': [
    json,
    `{"labels":{${Array.from({length: maxValues}, (_, index) => `"${index}${'a'.repeat(30)}":"a"`)}}}`,
  ],
  '20,000 numbers beyond doubles': [json, `{"longs":[${times(maxValues, '9007199254740993')}]}`],
  '20,000 times': [json, `{"times":[${times(maxValues, '"2024-02-29T12:00:00.123Z"')}]}`],
  '20,000 values of any JSON': [json, `{"struct":{"a":[${times(maxValues - 2, '{}')}]}}`],
  'an Any in 4 others': [json, nestedAny(4, 1_040_000)],
  'an Any in 90 others': [json, nestedAny(90, 1_000_000)],
  'a FieldMask of 520,000 paths': [json, `{"mask":"${times(520_000, 'a')}"}`],
  'one string': [json, `{"name":"${'a'.repeat(MiB - 20)}"}`],
  base64: [json, `{"data":"${'A'.repeat(1_048_000)}"}`],
  '520,000 brackets': [json, '['.repeat(520_000)],
  'a form of 20,000 pairs': [form, times(maxValues, `names=${'a'.repeat(40)}`, '&')],
  'a form of escapes': [form, times(maxValues, `names=${'%C3%BC'.repeat(7)}`, '&')],
  'a form of 520,000 pairs': [form, times(520_000, 'a', '&')],
  '1,000 parts': [multipart, `${part.repeat(1000)}--x--\r\n`],
  '17,000 parts': [multipart, `${part.repeat(17_000)}--x--\r\n`],
  '100,000 parts without a name': [multipart, `${'--x\r\n\r\n\r\n'.repeat(100_000)}--x--\r\n`],
}

const stack = await stackProcess({size: 0})
const instance = await functionProcess('src/main.js', 'gateway', {
  ...stack.env,
  AUTH: 'none',
  K_SERVICE: 'bench',
  LOG_LEVEL: 'silent',
  GATEWAY_DESCRIPTORS: schema.path,
  NODE_OPTIONS: heapOf256MiB,
  MEASURE_HOLD: '1',
})
let died: string | undefined
instance.child.once('exit', (code, signal) => {
  died = signal ?? `exit code ${code}`
})
const rows: Record<string, Record<string, Cell>> = {}
let failed = false
try {
  for (const concurrency of [1, 40]) {
    for (const [name, [headers, body]] of Object.entries(bodies)) {
      await post(headers, body)
      await ask<Usage>(instance.child, 'usage')
      const answers = await Promise.all(Array.from({length: concurrency}, () => post(headers, body)))
      if (died) break
      const {cpuSeconds, peak, hold} = await ask<Usage>(instance.child, 'usage')
      const isTooMuch = concurrency === 1 && (peak > mostMemory * MiB || hold > mostHold)
      failed ||= isTooMuch
      rows[`${concurrency} × ${name}`] = {
        answers: Object.entries(Object.groupBy(answers, (status) => status))
          .map(([status, all]) => `${all?.length} × ${status}`)
          .join(', '),
        'CPU ms': Math.round(cpuSeconds * 1000),
        'longest hold, CPU ms': Math.round(hold),
        'peak MiB': Math.round(peak / MiB),
        '': isTooMuch ? '!' : '',
      }
    }
  }
} catch (error) {
  if (!died) throw error
}
keep('limits', [
  {
    title: `Bodies that are made to be expensive, with \`${heapOf256MiB}\`; a hold is the CPU between two turns of the event loop`,
    rows,
    verdict: died
      ? `The instance ended: ${died}.`
      : `One body: at most ${mostMemory} MiB and ${mostHold} ms of hold: ${failed ? 'missed where there is a !' : 'met'}.`,
  },
])
if (died || failed) process.exitCode = 1
if (died) console.error(`The instance ended: ${died}`)
else await end(instance.child, 'SIGTERM')
await end(stack.child, 'stop')
schema[Symbol.dispose]()

async function post(headers: Record<string, string>, body: string): Promise<number> {
  const sent = request(`${instance.url}/take`, {method: 'POST', headers, agent: false})
  sent.end(body)
  const [response] = await once(sent, 'response')
  response.resume()
  await once(response, 'end')
  return response.statusCode
}

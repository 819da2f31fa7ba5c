import test from 'ava'
import type {ErrorShape} from '../../src/core/config.ts'
import {Fault} from '../../src/core/fault.ts'
import {failureJson} from '../../src/http/response/failure.ts'
import {stream} from '../../src/http/response/reply.ts'
import {type StreamType, streamWriter} from '../../src/http/response/stream-format.ts'

const fault = new Fault('NOT_FOUND', 'Cannot find "x"')
const aip = '{"error":{"code":404,"message":"Cannot find \\"x\\"","status":"NOT_FOUND","details":[]}}'
const rpc = '{"error":{"code":5,"message":"Cannot find \\"x\\"","details":[]}}'

/**
 * Formats of a server stream: the format of messages and of errors, two messages with the end, two with an error, an empty
 * stream, and what is sent while it is idle.
 */
const formats: [StreamType, ErrorShape, complete: string, failed: string, empty: string, idle: string][] = [
  ['application/json', 'aip', '[{"a":1},\n{"a":2}]', '[{"a":1},\n{"a":2}', '[]', ''],
  ['application/x-ndjson', 'aip', '{"a":1}\n{"a":2}\n', `{"a":1}\n{"a":2}\n${aip}\n`, '', ''],
  ['application/x-ndjson', 'status', '{"a":1}\n{"a":2}\n', `{"a":1}\n{"a":2}\n${rpc}\n`, '', ''],
  [
    'text/event-stream',
    'aip',
    'id: 1\ndata: {"a":1}\n\nid: 2\ndata: {"a":2}\n\nid: 2;end\nevent: end\ndata: {}\n\n',
    `id: 1\ndata: {"a":1}\n\nid: 2\ndata: {"a":2}\n\nid: 2;end\nevent: error\ndata: ${aip}\n\n`,
    'id: 0;end\nevent: end\ndata: {}\n\n',
    ':\n\n',
  ],
]

for (const [type, shape, complete, failed, empty, idle] of formats) {
  test(`answering as ${type}, errors as ${shape}`, (t) => {
    const begun = () => {
      const stream = streamWriter(type)
      return {stream, text: stream.next('{"a":1}') + stream.next('{"a":2}')}
    }
    const good = begun()
    t.is(good.text + good.stream.end(), complete)
    const bad = begun()
    t.is(bad.text + bad.stream.fail(fault, shape), failed)
    t.is(streamWriter(type).end(), empty)
    t.is(bad.stream.idle, idle)
    t.like(stream(type, (async function* () {})()).headers, {'content-type': type})
  })
}

test('the format of errors: AIP-193, or google.rpc.Status', (t) => {
  t.is(JSON.stringify(failureJson(fault, 'aip')), aip)
  t.is(JSON.stringify(failureJson(fault, 'status')), '{"code":5,"message":"Cannot find \\"x\\"","details":[]}')
})

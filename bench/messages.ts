import {once} from 'node:events'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {request} from 'node:http'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {toBinary} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {kindsFiles} from '../test/local/kinds.ts'
import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/**
 * CPU of a client stream per message, for the smallest possible messages: 200,000 times `{}` in one body. The peer only writes
 * the same number of messages to a grpc-js stream, and reads neither HTTP nor JSON.
 */
const rounds = roundsOr(5)
const count = 200_000
const forms = {
  'one after the other': '{}'.repeat(count),
  NDJSON: '{}\n'.repeat(count),
  'an array': `[${'{},'.repeat(count - 1)}{}]`,
}
/** Aim for a message, as a multiple of the peer. */
const aim = 0.5

const stack = await stackProcess({size: 0})
const folder = mkdtempSync(join(tmpdir(), 'messages-'))
const descriptors = join(folder, 'set.binpb')
writeFileSync(descriptors, toBinary(FileDescriptorSetSchema, kindsFiles))
const env = {
  ...stack.env,
  AUTH: 'none',
  K_SERVICE: 'bench',
  GATEWAY_DESCRIPTORS: descriptors,
  GATEWAY_DEFAULT_BINDINGS: 'true',
}
const peer = await functionProcess('bench/peers/message-stream.ts', 'stream', env)
const gateway = await functionProcess('src/main.js', 'gateway', env)

const costs: Record<string, number[]> = {}
for (let round = 0; round <= rounds; round++) {
  const measured: Record<string, number> = {
    'grpc-js, by hand': await cost(peer, () => ask200(`${peer.url}/?count=${count}`)),
  }
  for (const [form, body] of Object.entries(forms)) {
    measured[`gateway, ${form}`] = await cost(gateway, () => ask200(`${gateway.url}/test.Kinds/Up`, body))
  }
  if (round === 0) continue
  for (const [name, microseconds] of Object.entries(measured)) costs[name] = [...(costs[name] ?? []), microseconds]
}
const [byHand = Number.NaN, ...ours] = Object.values(costs).map(median)
const ratio = Math.max(...ours) / byHand
keep('messages', [
  {
    title: `${count} messages of two bytes in one client stream, medians of ${rounds}`,
    rows: Object.fromEntries(
      Object.entries(costs).map(([name, all]) => [name, {'CPU µs a message': spreadOf(all, 2)}]),
    ),
    chart: 'CPU µs a message',
    verdict: `Ratio ${ratio.toFixed(3)} at the most (aim: under ${aim}).`,
  },
])
await Promise.all([end(peer.child, 'SIGTERM'), end(gateway.child, 'SIGTERM')])
await end(stack.child, 'stop')
rmSync(folder, {recursive: true})
if (ratio >= aim) process.exitCode = 1

/** CPU of the process per message, in µs. */
async function cost({child}: typeof gateway, stream: () => Promise<void>): Promise<number> {
  await ask<Usage>(child, 'usage')
  await stream()
  return ((await ask<Usage>(child, 'usage')).cpuSeconds / count) * 1e6
}

async function ask200(url: string, body?: string): Promise<void> {
  const headers = {'content-type': body?.startsWith('[') ? 'application/json' : 'application/x-ndjson'}
  const sent = request(url, body === undefined ? {} : {method: 'POST', headers})
  sent.end(body)
  const [response] = await once(sent, 'response')
  response.resume()
  await once(response, 'end')
  if (response.statusCode !== 200) throw new Error(`${url} answered ${response.statusCode}`)
}

import {once} from 'node:events'
import {createServer, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'
import test from 'ava'
import {startStorage} from '../../local/storage/server.ts'
import {inChild} from './child.ts'
import {faultOf, reasonOf} from './life.ts'
import {runtimeOf} from './runtime.ts'

/** The foreign emulator's answers by path. All other paths are 404, like unknown routes of a real one. */
const answers = new Map<string, {status?: number; body: unknown}>()
const emulator = createServer((request, response) => {
  if (request.url?.includes('endless')) return answerForEver(response)
  const answer = answers.get((request.url ?? '').split('?')[0]!) ?? {status: 404, body: 'Not Found'}
  response.statusCode = answer.status ?? 200
  response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
}).listen(0, '127.0.0.1')
await once(emulator, 'listening')
const host = `127.0.0.1:${(emulator.address() as AddressInfo).port}`
const {storage} = runtimeOf({STORAGE_EMULATOR_HOST: host})

const server = await startStorage()
await server.put('b', 'a/b', 'content')
test.after.always(async () => {
  emulator.close()
  emulator.closeAllConnections()
  await server.close()
})

const {signal} = new AbortController()
const version = (object: string, bucket = 'b') => storage.versionOf(signal, {bucket, object})

/** Sets the emulator's answer for `object`. */
function answering(object: string, body: unknown, status = 200): void {
  answers.set(`/storage/v1/b/b/o/${object}`, {status, body})
}

for (const form of [
  (host: string) => host,
  (host: string) => `${host}/`,
  (host: string) => `http://${host}`,
  (host: string) => `http://${host}/`,
  (host: string) => `http://${host}/storage/v1`,
  (host: string) => `http://${host}/storage/v1/`,
  (host: string) => `${host}/storage/v1`,
]) {
  test.serial(`with STORAGE_EMULATOR_HOST=${form('HOST:PORT')}, requests go to /storage/v1 there`, async (t) => {
    const before = server.requests.length
    const env = {STORAGE_EMULATOR_HOST: form(new URL(server.url).host)}
    const {value} = await inChild({env, arg: undefined}, async () => {
      const {runtimeOf} = await import('./runtime.ts')
      const {storage} = runtimeOf(process.env)
      const {signal} = new AbortController()
      const version = await storage.versionOf(signal, {bucket: 'b', object: 'a/b'})
      return Buffer.concat(await Array.fromAsync(storage.read(signal, version))).toString()
    })
    t.is(value, 'content')
    t.deepEqual(
      server.requests.slice(before).map(({url, kind, headers}) => [kind, url.split('?')[0], headers.authorization]),
      [
        ['metadata', '/storage/v1/b/b/o/a%2Fb', undefined],
        ['media', '/storage/v1/b/b/o/a%2Fb', undefined],
      ],
    )
  })
}

test('an object without a size, as proto3 JSON writes zero, is empty', async (t) => {
  answering('empty', {crc32c: 'AAAAAA==', generation: '1'})
  const empty = await version('empty')
  t.is(empty.size, 0)
  t.deepEqual(await Array.fromAsync(storage.read(signal, empty)), [])
})

test('an object without a size, whose checksum says that it has bytes, is not read as empty', async (t) => {
  answering('full', {crc32c: '1U93dA==', generation: '1'})
  t.is((await faultOf(t, version('full'))).code, 'FAILED_PRECONDITION')
})

/** The error format of storage-testbench: JSON in a string in JSON. */
const nested = (message: string) => ({
  error: {code: 404, message: JSON.stringify({error: {errors: [{domain: 'global', message}]}})},
})

for (const [says, body, reason] of [
  ['Google', {error: {message: 'The specified bucket does not exist.'}}, 'BUCKET_NOT_FOUND'],
  ['Google', {error: {message: 'No such object: bucket/none'}}, 'OBJECT_NOT_FOUND'],
  ['fake-gcs-server', {error: {message: 'Not Found'}}, 'OBJECT_NOT_FOUND'],
  ['storage-testbench', nested('Bucket b does not exist.'), 'BUCKET_NOT_FOUND'],
  ['storage-testbench', nested('Live version of object bucket/none does not exist.'), 'OBJECT_NOT_FOUND'],
] as const) {
  test.serial(`${JSON.stringify(body)} of ${says} is ${reason}`, async (t) => {
    answering('missing', body, 404)
    t.is(reasonOf(await faultOf(t, version('missing'))), reason)
  })
}

for (const status of [400, 401, 403, 404, 405, 412]) {
  for (const [title, body] of Object.entries({
    'a text': {error: {message: 'Secret words'}},
    'an object': {error: {message: {reason: 'Secret words'}}},
    'an array': {error: {message: ['Secret words']}},
    missing: {error: {errors: ['Secret words']}},
    'in no JSON': '<Error>Secret words</Error>',
  })) {
    test.serial(`Storage's text for ${status} whose message is ${title} is for the log, and readable`, async (t) => {
      answering('refused', body, status)
      const fault = await faultOf(t, version('refused'))
      t.notRegex(JSON.stringify(fault), /Secret words|\[object/)
      t.regex(String(fault.cause), /Secret words/)
      t.notRegex(String(fault.cause), /\[object/)
    })
  }
}

test.serial('only the beginning of an endless error text is read', async (t) => {
  const {promise: closed, resolve} = Promise.withResolvers<void>()
  onClose = resolve
  const fault = await faultOf(t, version('endless'))
  t.is(fault.code, 'PERMISSION_DENIED')
  await closed
})

let onClose = () => {}

/** Writes as long as the response is read. */
function answerForEver(response: ServerResponse): void {
  const write = () => {
    while (!response.destroyed && response.write('x'.repeat(10_000)));
  }
  response.statusCode = 403
  response.on('drain', write)
  response.once('close', () => onClose())
  write()
}

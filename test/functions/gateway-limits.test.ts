import test from 'ava'
import {refused} from './gateway-client.ts'
import {type Served, startServed} from './gateway-services.ts'

const maxValues = 50
const maxBytes = 4000

/** Each empty Wide takes 4 KiB of memory. */
const wide = `
  syntax = "proto3";
  package wide;
  import "google/api/annotations.proto";
  message Wide {
    repeated Wide children = 1;
    ${Array.from({length: 43}, (_, index) => `repeated string names${index} = ${index + 2};`).join('\n')}
  }
  service Wides {
    rpc Echo(Wide) returns (Wide) {option (google.api.http) = {post: "/wide" body: "*"};}
  }`

let app: Served
test.before(async () => {
  app = await startServed({
    env: {GATEWAY_MAX_BODY_VALUES: String(maxValues), GATEWAY_MAX_BODY_BYTES: String(maxBytes)},
    protos: {'wide.proto': wide},
    echoes: ['wide.Wides'],
  })
})
test.afterEach((t) => app.quiet(t))
test.after.always(() => app.close())

const json = {'content-type': 'application/json'}
const form = {'content-type': 'application/x-www-form-urlencoded'}
const multipart = {'content-type': 'multipart/form-data; boundary=x'}

function times(count: number, text: string, separator = ','): string {
  return Array(count).fill(text).join(separator)
}

function parts(count: number): string {
  return `${'--x\r\ncontent-disposition: form-data; name="names"\r\n\r\na\r\n'.repeat(count)}--x--\r\n`
}

/** Requests with a given number of values: the limit, or one more. */
const values: Record<string, (values: number) => [line: string, headers: Record<string, string>, body?: string]> = {
  JSON: (values) => ['POST /whole', json, `{"children":[${times(values - 2, '{}')}]}`],
  'JSON of one field': (values) => ['POST /body/children', json, `[${times(values - 1, '{}')}]`],
  'a form': (values) => ['POST /whole', form, times(values, 'names=a', '&')],
  'a multipart body': (values) => ['POST /whole', multipart, parts(values)],
  'a query': (values) => [`GET /whole?${times(values, 'names=a', '&')}`, {}],
  'the one message of a server stream': (values) => ['POST /down', json, `{"names":[${times(values - 2, '""')}]}`],
}

for (const [what, request] of Object.entries(values)) {
  test.serial(`${maxValues} values of ${what} are accepted, one more is 400 and reaches no backend`, async (t) => {
    const [line, headers, body] = request(maxValues)
    t.is((await app.send(line, {headers, ...(body && {body})})).status, 200)
    const calls = app.backend.log.length
    const [more, , tooMany] = request(maxValues + 1)
    const response = await app.send(more, {headers, ...(tooMany && {body: tooMany})})
    refused(t, response, 400, 'body')
    // Parts are counted while the form is read, before any part is decoded.
    const counted = headers === multipart ? 'parts' : 'values'
    t.regex(response.json.error.message, new RegExp(`more than ${maxValues} ${counted}`))
    t.is(app.backend.log.length, calls)
  })
}

test.serial('each message of a client stream has its own limits for values and bytes', async (t) => {
  const message = `{"names":[${times(maxValues - 2, '"aaaaaaaaaa"')}]}`
  const response = await app.send('POST /up', {headers: json, body: times(100, message)})
  t.is(response.status, 400, 'a comma is no separator')
  t.is((await app.send('POST /up', {headers: json, body: times(100, message, '\n')})).status, 200)
  refused(t, await app.send('POST /up', {headers: json, body: `${message}{"names":[${times(49, '""')}]}`}), 400, 'body')
})

test.serial(`a body of ${maxBytes} bytes is read, a longer one is 413 in every format`, async (t) => {
  const sized = (start: string, end: string, size: number) =>
    `${start}${'a'.repeat(size - start.length - end.length)}${end}`
  for (const [headers, start, end] of [
    [json, '{"name":"', '"}'],
    [form, 'name=', ''],
    [multipart, '--x\r\ncontent-disposition: form-data; name="name"\r\n\r\n', '\r\n--x--\r\n'],
  ] as const) {
    t.is((await app.send('POST /whole', {headers, body: sized(start, end, maxBytes)})).status, 200)
    refused(t, await app.send('POST /whole', {headers, body: sized(start, end, maxBytes + 1)}), 413, 'body')
  }
  t.is((await app.send('POST /bytes', {body: 'a'.repeat(maxBytes)})).status, 200)
  refused(t, await app.send('POST /bytes', {body: 'a'.repeat(maxBytes + 1)}), 413, 'body')
  t.is((await app.send('POST /up', {headers: json, body: sized('{"name":"', '"}', maxBytes)})).status, 200)
  t.is((await app.send('POST /up', {headers: json, body: sized('{"name":"', '"}', maxBytes + 1)})).status, 413)
})

test.serial('a message type whose empty message takes several KiB counts as several values', async (t) => {
  const send = (count: number) => app.send('POST /wide', {headers: json, body: `{"children":[${times(count, '{}')}]}`})
  t.is((await send(9)).status, 200)
  refused(t, await send(10), 400, 'body')
})

test.serial('by Connect in protobuf an empty message counts for as many values', async (t) => {
  const headers = {'content-type': 'application/proto', 'connect-protocol-version': '1'}
  const send = (count: number) =>
    app.send('POST /wide.Wides/Echo', {headers, body: Buffer.from('0a00'.repeat(count), 'hex')})
  t.is((await send(9)).status, 200)
  const {status, json} = await send(10)
  t.is(status, 400)
  t.is(json.code, 'invalid_argument')
})

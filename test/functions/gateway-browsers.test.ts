import {brotliDecompressSync, gunzipSync} from 'node:zlib'
import test from 'ava'
import {type Served, startServed} from './gateway-services.ts'

let app: Served
test.before(async () => {
  app = await startServed({env: {CORS_ORIGINS: 'https://a.example, http://localhost:3000'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const origin = 'https://a.example'

test.serial('a page of another origin is told what it may do', async (t) => {
  const {status, headers, text} = await app.send('OPTIONS /whole', {
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type, x-request-id',
    },
  })
  t.is(status, 204)
  t.is(text, '')
  t.is(headers.get('access-control-allow-origin'), origin)
  t.is(headers.get('access-control-allow-methods'), 'GET, HEAD, OPTIONS, POST')
  t.is(headers.get('access-control-allow-headers'), 'content-type, x-request-id')
  t.is(headers.get('access-control-max-age'), '3600')
  t.is(headers.get('vary'), 'origin')
  t.false(headers.has('access-control-allow-credentials'))
})

test.serial('a preflight for a path that takes any method is told so', async (t) => {
  const calls = app.backend.log.length
  const {status, headers} = await app.send('OPTIONS /any/a', {
    headers: {origin, 'access-control-request-method': 'PATCH'},
  })
  t.is(status, 204)
  t.is(headers.get('access-control-allow-methods'), 'PATCH')
  t.is(app.backend.log.length, calls, 'nothing is asked')
})

for (const [words, line, headers] of [
  ['OPTIONS where it is bound', 'OPTIONS /options/a', {origin, 'access-control-request-method': 'PATCH'}],
  ['an OPTIONS that asks for no method', 'OPTIONS /any/a', {origin}],
  ['an OPTIONS of no page', 'OPTIONS /any/a', {'access-control-request-method': 'PATCH'}],
  [
    'an OPTIONS of a page that may do nothing',
    'OPTIONS /any/a',
    {origin: 'https://b.example', 'access-control-request-method': 'PATCH'},
  ],
] as const) {
  test.serial(`the service is called: ${words}`, async (t) => {
    const {status, json} = await app.send(line, {headers})
    t.deepEqual([status, json], [200, {name: 'a'}])
  })
}

for (const [line, status] of [
  ['GET /whole', 200],
  ['GET /down?int32_value=2', 200],
  ['GET /whole?nope=a', 400],
  ['GET /one/%zz', 400],
  ['GET /nothing', 404],
  ['POST /one/a', 405],
  ['OPTIONS /whole', 204],
] as const) {
  test.serial(`a page may read any answer: ${line} is ${status}`, async (t) => {
    const allowed = await app.send(line, {headers: {origin}})
    t.is(allowed.status, status)
    t.is(allowed.headers.get('access-control-allow-origin'), origin)
    t.is(allowed.headers.get('access-control-expose-headers'), '*')
    t.is(allowed.headers.get('vary'), 'origin')
    t.false(allowed.headers.has('access-control-allow-methods'))
    for (const headers of [{origin: 'https://b.example'}, {origin: 'null'}, {accept: '*/*'}] as Record<
      string,
      string
    >[]) {
      const other = await app.send(line, {headers})
      t.is(other.status, headers.origin && line.startsWith('POST') ? 403 : status)
      t.false(other.headers.has('access-control-allow-origin'))
      t.is(other.headers.get('vary'), 'origin')
    }
  })
}

const large = `name=${'abc'.repeat(400)}`
const unpacked = {
  br: (bytes: Uint8Array) => brotliDecompressSync(bytes),
  gzip: (bytes: Uint8Array) => gunzipSync(bytes),
}

/** The compressed bytes of the body, which fetch would decompress. */
async function packed(line: string, encoding: string) {
  const {createConnection} = await import('node:net')
  const {hostname, port} = new URL(app.url('/'))
  const socket = createConnection(Number(port), hostname)
  socket.write(`${line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\naccept-encoding: ${encoding}\r\n\r\n`)
  const bytes = Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>))
  const end = bytes.indexOf('\r\n\r\n')
  return {head: bytes.subarray(0, end).toString(), body: bytes.subarray(end + 4)}
}

for (const [accepted, encoding] of [
  ['gzip', 'gzip'],
  ['br', 'br'],
  ['gzip, deflate, br, zstd', 'gzip'],
  ['br, gzip', 'br'],
  ['gzip;q=0.9, br;q=0.1', 'gzip'],
  ['br;q=0, gzip', 'gzip'],
] as const) {
  test.serial(`JSON of 1 KiB or more for Accept-Encoding: ${accepted} is sent in ${encoding}`, async (t) => {
    const {head, body} = await packed(`GET /whole?${large}`, accepted)
    t.regex(head, new RegExp(`^content-encoding: ${encoding}$`, 'm'))
    t.regex(head, new RegExp(`^content-length: ${body.length}$`, 'm'))
    t.regex(head, /^vary: origin, accept-encoding$/m)
    t.true(body.length < 100)
    t.is(JSON.parse(String(unpacked[encoding](body))).name.length, 1200)
  })
}

for (const [line, accepted] of [
  [`GET /whole?${large}`, 'identity'],
  [`GET /whole?${large}`, 'deflate'],
  [`GET /whole?${large}`, 'gzip;q=0'],
  ['GET /whole?name=short', 'gzip'],
  [`GET /down?int32_value=3&${large}`, 'gzip, br'],
  [`GET /bytes:down?datas=${'AAAA'.repeat(500)}`, 'gzip'],
] as const) {
  test.serial(`${line.slice(0, 40)} for Accept-Encoding: ${accepted} is sent uncompressed`, async (t) => {
    const {status, headers} = await app.send(line, {headers: {'accept-encoding': accepted}})
    t.is(status, 200)
    t.false(headers.has('content-encoding'))
  })
}

for (const [words, line, type] of [
  ['a stream', 'POST /both', 'application/json'],
  ['content other than JSON', 'POST /bytes', 'text/plain'],
] as const) {
  test.serial(`${words} is sent uncompressed: ${line} of ${type}`, async (t) => {
    const body = JSON.stringify({name: 'abc'.repeat(400)})
    const headers = {'accept-encoding': 'gzip, br', 'content-type': type, accept: type}
    const answer = await app.send(line, {headers, body})
    t.is(answer.status, 200)
    t.is(answer.headers.get('content-type'), type)
    t.is(answer.text, line === 'POST /both' ? `[${body}]` : body)
    t.false(answer.headers.has('content-encoding'))
  })
}

test.serial('HEAD has the headers of GET', async (t) => {
  const headers = {'accept-encoding': 'gzip'}
  const [get, head] = [
    await app.send(`GET /whole?${large}`, {headers}),
    await app.send(`HEAD /whole?${large}`, {headers}),
  ]
  for (const name of ['content-encoding', 'content-length', 'vary']) t.is(head.headers.get(name), get.headers.get(name))
})

import test from 'ava'
import {json} from '../../src/http/response/reply.ts'
import type {Handler} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {isFault} from '../http/answers.ts'
import {connectTo, type Response} from '../http/connection.ts'

let app: App
test.before(async () => {
  app = await startApp({env: {CORS_ORIGINS: 'https://a.example https://b.example:8443 http://localhost:*'}})
  await app.storage.put('samples', 'hello.txt', 'hello')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

type Headers = Readonly<Record<string, string>>

async function send(url: string, line: string, headers: Headers, body = ''): Promise<Response> {
  await using connection = await connectTo(url)
  const all = {host: 'api.example', 'content-length': String(body.length), ...headers}
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  connection.send(`${[`${line} HTTP/1.1`, ...lines, '', ''].join('\n')}${body}`)
  return await connection.response(line.split(' ')[0])
}

const origin = 'https://a.example'

/** A function of each kind, and the HTTP methods that it accepts. */
const functions = {
  '/ping': 'GET, HEAD, OPTIONS, POST',
  '/upload': 'OPTIONS, POST',
  '/health': 'GET, HEAD, OPTIONS',
  '/api/repos': 'OPTIONS, POST',
  '/openapi.json': 'GET, HEAD, OPTIONS',
} as const

for (const [path, methods] of Object.entries(functions)) {
  test.serial(`a page of another origin is told what it may do with ${path}`, async (t) => {
    const {status, headers, text} = await send(app.url('/'), `OPTIONS ${path}`, {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type, x-request-id',
    })
    t.deepEqual([status, text], [204, ''])
    t.is(headers.get('access-control-allow-origin'), origin)
    t.is(headers.get('access-control-allow-methods'), methods)
    t.is(headers.get('access-control-allow-headers'), 'content-type, x-request-id')
    t.is(headers.get('access-control-max-age'), '3600')
    t.is(headers.get('vary'), 'origin')
    t.false(headers.has('access-control-allow-credentials'))
  })

  test.serial(
    `OPTIONS ${path} lists its methods, for callers other than pages and for pages that may do nothing`,
    async (t) => {
      const asks = {'access-control-request-method': 'POST'}
      for (const from of [{}, asks, {origin}, {origin: 'https://evil.example', ...asks}] as Headers[]) {
        const {status, headers} = await send(app.url('/'), `OPTIONS ${path}`, from)
        t.is(status, 204)
        t.is(headers.get('allow'), methods)
        t.false(headers.has('access-control-allow-methods'))
        t.is(headers.has('access-control-allow-origin'), from.origin === origin)
      }
    },
  )
}

const job = JSON.stringify({bucket: 'samples', object: 'hello.txt', context: {creatorId: 'me', name: 'hello'}})

for (const [line, body, status] of [
  ['GET /ping', '', 200],
  ['POST /ping', '{"message": "hi"}', 200],
  ['POST /ping', '{', 400],
  ['PUT /ping', '', 405],
  ['GET /health', '', 200],
  ['POST /upload', job, 200],
  ['POST /upload', '{}', 400],
  ['GET /upload', '', 405],
  ['GET /nowhere', '', 404],
  ['GET /openapi.json', '', 200],
] as const) {
  test.serial(`a page of another origin may read any answer: ${line} is ${status}`, async (t) => {
    const headers = {origin, 'sec-fetch-site': 'cross-site', 'content-type': 'application/json'}
    const response = await send(app.url('/'), line, headers, body)
    t.is(response.status, status)
    t.is(response.headers.get('access-control-allow-origin'), origin)
    t.is(response.headers.get('access-control-expose-headers'), '*')
  })
}

test.serial('a page can read a refusal of its headers too', async (t) => {
  const {status, headers} = await send(app.url('/'), 'POST /upload', {origin, expect: 'more'}, '{}')
  t.is(status, 417)
  t.is(headers.get('access-control-allow-origin'), origin)
})

const evil = 'https://evil.example'

/** What a browser says about the page that sends a request. */
const pages: Readonly<Record<string, {headers: Headers; allowed: boolean}>> = {
  'no browser': {headers: {}, allowed: true},
  'a page of an allowed origin': {headers: {origin, 'sec-fetch-site': 'cross-site'}, allowed: true},
  'a page of an allowed origin, in a browser that says no more': {headers: {origin}, allowed: true},
  'a page of an allowed port': {headers: {origin: 'https://b.example:8443'}, allowed: true},
  'a page of another port': {headers: {origin: 'https://b.example'}, allowed: false},
  'a page of any port of localhost': {headers: {origin: 'http://localhost:5173'}, allowed: true},
  'a page of localhost': {headers: {origin: 'http://localhost'}, allowed: true},
  'a page of another scheme of localhost': {headers: {origin: 'https://localhost:5173'}, allowed: false},
  'a page of a host that begins with an allowed one': {
    headers: {origin: 'http://localhost:1.evil.example'},
    allowed: false,
  },
  'a page of a foreign origin': {headers: {origin: evil, 'sec-fetch-site': 'cross-site'}, allowed: false},
  'a page of a foreign origin, in a browser that says no more': {headers: {origin: evil}, allowed: false},
  'a page of another site, without an origin': {headers: {'sec-fetch-site': 'cross-site'}, allowed: false},
  'a sandboxed page': {headers: {origin: 'null', 'sec-fetch-site': 'cross-site'}, allowed: false},
  'a sandboxed page, in a browser that says no more': {headers: {origin: 'null'}, allowed: false},
  'a page of a sibling host': {
    headers: {origin: 'https://www.api.example', 'sec-fetch-site': 'same-site'},
    allowed: false,
  },
  'a page of its own': {headers: {origin: 'https://api.example', 'sec-fetch-site': 'same-origin'}, allowed: true},
  'a page of its own that tells no referrer': {
    headers: {origin: 'null', 'sec-fetch-site': 'same-origin'},
    allowed: true,
  },
  'a page of its own, in a browser that says no more': {headers: {origin: 'http://api.example'}, allowed: true},
  'a page of its own, with the port of its scheme': {
    headers: {host: 'api.example:443', origin: 'https://api.example'},
    allowed: true,
  },
  'a page of another port of its own': {headers: {origin: 'http://api.example:3000'}, allowed: false},
  'a page of its own behind a proxy': {
    headers: {host: 'xyz.a.run.app', origin: 'https://api.example', 'sec-fetch-site': 'same-origin'},
    allowed: true,
  },
  'a page of its own without TLS': {
    headers: {origin: 'http://api.example', 'sec-fetch-site': 'cross-site'},
    allowed: false,
  },
  'the person, with no page': {headers: {'sec-fetch-site': 'none'}, allowed: true},
}

/** The content types that a page can send without a preflight. */
const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', undefined]

for (const [title, {headers, allowed}] of Object.entries(pages)) {
  test.serial(`a request from ${title} is ${allowed ? 'taken' : 'refused'}, unless it only reads`, async (t) => {
    const seen: string[] = []
    const handler: Handler = async ({method}) => {
      seen.push(method)
      return json({all: 'well'})
    }
    const {url} = await app.serve(handler)
    for (const type of types) {
      const response = await send(url, 'POST /', {...headers, ...(type && {'content-type': type})}, '{}')
      if (allowed) t.is(response.text, '{"all":"well"}')
      else {
        isFault(t, response, 403, 'PERMISSION_DENIED')
        t.is(response.json.error.details[0].reason, 'CROSS_SITE_REQUEST')
      }
    }
    t.is(seen.length, allowed ? types.length : 0)
    for (const method of ['PUT', 'PATCH', 'DELETE', 'QUERY']) {
      t.is((await send(url, `${method} /`, headers)).status, allowed ? 200 : 403)
    }
    for (const method of ['GET', 'HEAD', 'OPTIONS']) t.is((await send(url, `${method} /`, headers)).status, 200)
  })
}

for (const [line, body] of [
  ['POST /ping', '{"message": "hi"}'],
  ['POST /upload', job],
  ['POST /upload?creatorId=me&name=x', 'hello'],
  ['POST /api/repos', '{"context": {"name": "hi"}}'],
  ['POST /nowhere', ''],
  ['DELETE /ping', ''],
] as const) {
  test.serial(`a request of a foreign page never reaches a backend: ${line}`, async (t) => {
    const calls = app.backend.log.length
    const response = await send(app.url('/'), line, {origin: evil, 'content-type': 'text/plain'}, body)
    isFault(t, response, 403, 'PERMISSION_DENIED')
    t.false(response.headers.has('access-control-allow-origin'))
    t.is(app.backend.log.length, calls)
  })
}

test.serial('the origin of a foreign page is quoted as far as it fits', async (t) => {
  const {json} = await send(app.url('/'), 'POST /ping', {origin: `https://${'evil.'.repeat(1000)}example`}, '{}')
  t.true(json.error.message.length < 400)
})

test.serial('a function that names no methods accepts any, and its preflights are answered', async (t) => {
  const seen: string[] = []
  const {url} = await app.serve(({method}) => {
    seen.push(method)
    return json({})
  })
  const preflight = {origin, 'access-control-request-method': 'PATCH'}
  const {status, headers} = await send(url, 'OPTIONS /', preflight)
  t.is(status, 204)
  t.is(headers.get('access-control-allow-methods'), 'PATCH')
  t.deepEqual(seen, [])
  for (const method of ['PATCH', 'OPTIONS', 'GET']) t.is((await send(url, `${method} /`, {})).status, 200)
  t.deepEqual(seen, ['PATCH', 'OPTIONS', 'GET'])
})

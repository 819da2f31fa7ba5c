import {request} from 'node:http'
import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {byPath} from '../../src/http/by-path.ts'
import {only} from '../../src/http/request/methods.ts'
import {eventStream, json, ndjson, noMoreEvents} from '../../src/http/response/reply.ts'
import type {Handler} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {never} from './handlers.ts'

let app: App
test.before(async () => {
  app = await startApp({env: {CORS_ORIGINS: 'https://page.example'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

async function* values() {
  yield '1'
  yield '2'
}
const handlers: Readonly<Record<string, Handler>> = {
  '/json': only(['GET'], () => json({all: 'well'})),
  '/text': () => ({headers: {'content-type': 'text/html'}, body: '<b>'}),
  '/own': () => ({headers: {'X-Content-Type-Options': 'sniff', 'X-Request-Id': 'forged'}, body: 'x'}),
  '/empty': () => ({}),
  '/204': () => ({status: 204}),
  '/304': () => ({status: 304}),
  '/ndjson': () => ndjson(values()),
  '/events': () => eventStream(values()),
  '/no-more': () => noMoreEvents,
  '/fault': () => {
    throw new Fault('ABORTED', 'No')
  },
  '/error': () => {
    throw new Error('No')
  },
  '/never': never,
  '/late': async () => {
    await Promise.resolve()
    throw new TypeError('late')
  },
  '/status': () => ({status: 999}),
}

const nothing: Handler = () => {
  throw new Fault('NOT_FOUND', 'Nothing is here')
}
const handler = () =>
  byPath(
    app.runtime,
    Object.fromEntries(Object.entries(handlers).map(([path, made]) => [path, () => made])),
    () => nothing,
  )

const page = {origin: 'https://page.example'}
for (const [title, status, path, method = 'GET', headers = {}] of [
  ['JSON', 200, '/json'],
  ['JSON to HEAD', 200, '/json', 'HEAD'],
  ['JSON to a page', 200, '/json', 'GET', page],
  ['a preflight', 204, '/json', 'OPTIONS', {...page, 'access-control-request-method': 'GET'}],
  ['OPTIONS', 204, '/json', 'OPTIONS'],
  ['a wrong method', 405, '/json', 'DELETE'],
  ['text', 200, '/text'],
  ['a reply with such headers of its own', 200, '/own'],
  ['an empty reply', 200, '/empty'],
  ['204', 204, '/204'],
  ['304', 304, '/304'],
  ['NDJSON', 200, '/ndjson'],
  ['an event stream', 200, '/events'],
  ['the end of events', 204, '/no-more'],
  ['a Fault', 409, '/fault'],
  ['an error', 500, '/error'],
  ['a rejection', 500, '/late'],
  ['a reply that is none', 500, '/status'],
  ['a deadline', 504, '/never', 'GET', {'x-server-timeout': '0.01'}],
  ['a deadline that is none', 400, '/json', 'GET', {'x-server-timeout': 'soon'}],
  ['no such path', 404, '/nowhere'],
  ['a path that cannot be decoded', 404, '/%'],
  ['a path that frameworks answer', 404, '/favicon.ico'],
  ['an unknown expectation', 417, '/json', 'POST', {expect: 'more'}],
] as const) {
  test.serial(`${title} is answered with ${status}, and with the request's id and nosniff once each`, async (t) => {
    const {url, close} = await app.serve(handler())
    try {
      const id = `every-${status}`
      const sent = request(url + path, {method, headers: {'x-request-id': id, ...headers}, agent: false}).end()
      const got = await new Promise<{status: number | undefined; raw: string[]}>((resolve, reject) => {
        sent.on('error', reject)
        sent.on('response', (response) => {
          const {statusCode, rawHeaders} = response
          response.resume().on('close', () => resolve({status: statusCode, raw: rawHeaders}))
        })
      })
      t.is(got.status, status)
      const values = (name: string) =>
        got.raw.filter((_, index) => got.raw[index - 1]?.toLowerCase() === name && index % 2)
      t.deepEqual(values('x-content-type-options'), ['nosniff'])
      t.deepEqual(values('x-request-id'), [id])
    } finally {
      await close()
    }
  })
}

import ava from 'ava'
import {ConfigError} from '../../src/core/config.ts'
import {gateway} from '../../src/gateway/gateway.ts'
import {TestIssuer} from '../auth/issuer.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {buildSchema} from '../functions/gateway-schema.ts'
import {type App, startApp} from '../helpers/app.ts'

// What callers get of the page of CONSOLE, and which callers get it.

const test = ava.serial

const html = {accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'}

let app: App
let without: App
let issuer: TestIssuer
test.before(async () => {
  issuer = await new TestIssuer().listen()
  without = await startApp()
  app = await startApp({env: {CONSOLE: 'true', AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await Promise.all([app?.close(), without?.close(), issuer?.close()])
})

test('a browser gets the page at /, with a policy that allows only its own files', async (t) => {
  const {status, headers, text} = await app.ask(t, '/', {headers: html})
  t.is(status, 200)
  t.is(headers.get('content-type'), 'text/html; charset=utf-8')
  t.regex(headers.get('vary') ?? '', /\baccept\b/)
  const policy = headers.get('content-security-policy') ?? ''
  t.regex(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';/)
  t.notRegex(policy, /unsafe|\*|https?:/)
  t.regex(policy, /; frame-ancestors 'none';/)
  t.notRegex(text, /<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|https?:/)
})

test('everything that the page loads exists, on its own origin', async (t) => {
  const seen = new Set<string>()
  const queue = ['/']
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    const {status, headers, text} = await app.ask(t, path, {headers: html})
    t.is(status, 200, path)
    t.is(headers.get('x-content-type-options'), 'nosniff')
    const named = [...text.matchAll(/(?:\bsrc="|\brel="(?:icon|stylesheet)" href="|\bfrom '\.\/)([^"']+)["']/g)]
    queue.push(...named.map(([, name = '']) => (name.startsWith('console/') ? `/${name}` : `/console/${name}`)))
  }
  t.true(seen.size > 10)
  t.true(seen.has('/console/request.js'))
})

test('callers other than browsers, and other paths, get the same as without the page', async (t) => {
  for (const path of ['/', '/nothing', '/console/', '/console/tsconfig.json', '/console/..%2fschema.ts']) {
    t.is((await app.ask(t, path)).status, 401, path)
  }
  t.is((await app.ask(t, '/', {method: 'POST', headers: html})).status, 401)
  const head = await app.ask(t, '/', {method: 'HEAD', headers: html})
  t.is(head.status, 200)
  t.is(head.text, '')
})

test('what the page shows of the API is as open as the description', async (t) => {
  t.is((await app.ask(t, '/console/schema.json')).status, 401)
  const token = await issuer.token({aud: 'api', sub: 'ada'})
  const {status, json} = await app.ask(t, '/console/schema.json', {headers: {authorization: `Bearer ${token}`}})
  t.is(status, 200)
  t.deepEqual(json.security, [{type: 'http', scheme: 'bearer'}])
  t.false(json.webSocket)
  t.deepEqual(json.functions, [
    {path: '/ping'},
    {path: '/upload', upload: {method: 'Repo/CreateRepo', context: 'RepoContext', required: ['creatorId', 'name']}},
    {path: '/health'},
  ])
  const ping = json.services.find(({name}: {name: string}) => name === 'ping.PingService').methods[0]
  t.like(ping, {
    name: 'Send',
    kind: 'unary',
    comment: 'Answers with the message that it was sent and the time at which it came.',
    bindings: [
      {method: 'GET', path: ['/api/ping'], body: '', reads: 'nothing'},
      {method: 'POST', path: ['/api/ping'], body: '*', reads: 'message'},
    ],
  })
  t.deepEqual(
    Object.keys(json.types).sort(),
    [
      'Repository',
      ...['RepoContext', 'RepoCreateReply', 'RepoCreateRequest'],
      ...['ping.Pong', 'ping.Request', 'ping.Response'],
    ].sort(),
  )
})

test('without CONSOLE there is no page', async (t) => {
  for (const path of ['/', '/console/page.js', '/console/schema.json']) {
    const {status, json} = await without.ask(t, path, {headers: html})
    t.is(status, 404, path)
    t.is(json.error.status, 'NOT_FOUND')
  }
})

test('the page is available before the backend has sent its schema, but what it shows is not', async (t) => {
  const down = await startApp({target: 'gateway', env: {CONSOLE: 'true', GATEWAY_SCHEMA: 'reflection'}})
  try {
    await down.backend.close()
    t.is((await fetch(down.url('/'), {headers: html})).status, 200)
    t.is((await fetch(down.url('/console/page.js'))).status, 200)
    const schema = await fetch(down.url('/console/schema.json'))
    t.is(schema.status, 503)
    await schema.text()
  } finally {
    await down.close()
  }
})

test('a rule that matches / is for all but browsers; one at a path of the page is an error at start', async (t) => {
  const proto = (path: string) => `syntax = "proto3";
    package at;
    import "google/api/annotations.proto";
    service At { rpc Get(Named) returns (Named) { option (google.api.http) = {get: "${path}"}; } }
    message Named { string name = 1; }`
  using all = buildSchema({'at.proto': proto('/{name=**}')})
  using taken = buildSchema({'at.proto': proto('/console/page.js')})
  const served = await startApp({target: 'gateway', env: {CONSOLE: 'true', GATEWAY_DESCRIPTORS: all.path}})
  try {
    t.is((await served.ask(t, '/', {headers: html})).headers.get('content-type'), 'text/html; charset=utf-8')
    // The backend is called, but does not have this service.
    t.is((await served.ask(t, '/')).json.error.status, 'UNIMPLEMENTED')
  } finally {
    await served.close()
  }
  const env = {BACKEND_URL: 'http://localhost:1', CONSOLE: 'true'}
  t.throws(() => gateway(runtimeOf(env), {schema: taken.path}), {
    instanceOf: ConfigError,
    message: /"\/console\/page\.js" is a path of the functions themselves/,
  })
  t.notThrows(() => gateway(runtimeOf({...env, CONSOLE: 'false'}), {schema: taken.path}))
})

import {execFile} from 'node:child_process'
import {createHash} from 'node:crypto'
import {mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import test from 'ava'
import {type Logger, pino} from 'pino'
import {doorOf} from '../../src/auth/door.ts'
import {ConfigError} from '../../src/core/config.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {type App, startApp} from '../helpers/app.ts'

const folder = mkdtempSync(join(tmpdir(), 'keys-'))
const file = join(folder, 'keys')
const lineOf = (key: string, rest: string) => `${createHash('sha256').update(key).digest('hex')} ${rest}`
const usual = [
  '# keys of partners',
  '',
  `${lineOf('for-all', 'machine *')} # everything`,
  lineOf('for-ping', 'partner ping.PingService/Send,/openapi.json')
    .toUpperCase()
    .replace(/ .*/, ' partner ping.PingService/Send,/openapi.json'),
  lineOf('for-service', 'other ping.PingService'),
  lineOf('for-nothing', 'nobody /openapi.json'),
].join('\r\n')

const lines: string[] = []
const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger

let app: App
test.before(async () => {
  writeFileSync(file, usual)
  const env = {
    AUTH: 'jwt',
    AUTH_API_KEYS: file,
    AUTH_ALLOW: 'ping.PingService/SendUpstream email=ada@example.com',
    MCP: 'true',
  }
  app = await startApp({log, env})
})
test.afterEach.always((t) => {
  writeFileSync(file, usual)
  return app.quiet(t)
})
test.after.always(async () => {
  await app.close()
  rmSync(folder, {recursive: true})
})

const withKey = (key: string) => ({headers: {'x-api-key': key}})

test.serial('a key may call what its line names', async (t) => {
  const send = '/api/ping?message=hi'
  for (const [key, path, status] of [
    ['for-all', send, 200],
    ['for-all', '/openapi.json', 200],
    ['for-all', '/health', 200],
    ['for-all', '/nowhere', 404],
    ['for-ping', send, 200],
    ['for-ping', '/ping?message=hi', 200],
    ['for-ping', '/openapi.json', 200],
    ['for-ping', '/health', 403],
    ['for-ping', '/nowhere', 403],
    ['for-ping', '/ping?upstream=true', 403],
    ['for-service', send, 200],
    ['unknown', send, 401],
    ['', send, 401],
    ['for-all ', send, 200],
    ['for-al', send, 401],
  ] as const) {
    const {status: got, text} = await app.ask(t, path, withKey(key))
    t.is(got, status, `${key} at ${path}: ${text}`)
  }
  t.is((await app.ask(t, `${send}&key=for-all`)).status, 401)
})

test.serial('conditions on claims are met by a key only if its line names the method', async (t) => {
  const {status, headers} = await app.ask(t, '/ping?upstream=true', withKey('for-all'))
  t.is(status, 403)
  t.is(headers.get('www-authenticate'), null)
  t.is((await app.ask(t, '/ping?upstream=true', withKey('for-service'))).status, 200)
})

test.serial('a key is shown only the tools that it may call, and a key without tools is refused', async (t) => {
  const ask = (key: string, method: string, params = {}) => {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'x-api-key': key,
    }
    const body = JSON.stringify({jsonrpc: '2.0', id: 1, method, params})
    return app.ask(t, '/mcp', {method: 'POST', headers, body})
  }
  const {text} = await ask('for-ping', 'tools/list')
  t.deepEqual(
    [...text.matchAll(/"name":"(\w+_\w+)"/g)].map(([, name]) => name),
    ['PingService_Send'],
  )
  const call = (tool: string) => ask('for-ping', 'tools/call', {name: tool, arguments: {message: 'hi'}})
  t.is((await call('PingService_Send')).status, 200)
  t.is((await call('PingService_SendUpstream')).status, 403)
  t.is((await ask('for-nothing', 'tools/list')).status, 403)
  t.is((await ask('unknown', 'tools/list')).status, 401)
})

test.serial('two keys in one request are refused, even if they are equal', async (t) => {
  const headers: [string, string][] = [
    ['x-api-key', 'for-all'],
    ['x-api-key', 'for-all'],
  ]
  t.is((await app.ask(t, '/health', {headers})).status, 401)
})

test.serial('the log has the name of a key, never the key itself, and a 401 says what is accepted', async (t) => {
  lines.length = 0
  await app.ask(t, '/ping?message=hi', withKey('for-ping'))
  t.deepEqual(JSON.parse(lines.at(-1)!).caller, {key: 'partner'})
  const {headers} = await app.ask(t, '/ping?message=hi', withKey('wrong-key'))
  t.regex(lines.at(-1)!, /not in AUTH_API_KEYS/)
  t.is(headers.get('www-authenticate'), 'ApiKey realm="grpc-functions"')
  t.notRegex(lines.join(''), /for-ping|wrong-key/)
})

test.serial('the backend is told the name of the key', async (t) => {
  const call = app.backend.ping.next()
  const answer = app.ask(t, '/ping?message=hi', withKey('for-ping'))
  const {metadata, answer: go} = await call
  go()
  t.is((await answer).status, 200)
  t.deepEqual(metadata.get('x-verified-claims-bin').map(String), ['{"key":"partner"}'])
})

test.serial('the key itself never reaches the backend, by any protocol or under any name', async (t) => {
  const key = withKey('for-all').headers
  const named = {'grpc-metadata-x-api-key': 'for-all', 'grpc-metadata-x_api_key': 'for-all', 'x_api-key': 'for-all'}
  for (const [path, type, body] of [
    ['/api/ping', undefined, undefined],
    ['/ping.PingService/Send', 'application/json', '{}'],
    ['/ping.PingService/Send', 'application/grpc-web+proto', '\0\0\0\0\0'],
  ] as const) {
    const call = app.backend.ping.next()
    const headers = {...key, ...named, 'connect-protocol-version': '1', ...(type && {'content-type': type})}
    const answer = app.ask(t, path, {method: body ? 'POST' : 'GET', headers, ...(body && {body})})
    const {metadata, answer: go} = await call
    go()
    t.is((await answer).status, 200)
    const keys = Object.keys(metadata.getMap()).filter((name) => /api.key/.test(name))
    t.deepEqual(keys, [], `${path} ${type}`)
  }
})

test.serial('a changed key file applies from the next request on', async (t) => {
  const ask = async (key: string) => (await app.ask(t, '/ping?message=hi', withKey(key))).status
  t.is(await ask('new-one'), 401)
  writeFileSync(file, lineOf('new-one', 'machine *'))
  t.is(await ask('new-one'), 200)
  t.is(await ask('for-all'), 401)
  // Replaces the file by another one, as a mounted secret does.
  writeFileSync(`${file}.new`, lineOf('new-two', 'machine *'))
  renameSync(`${file}.new`, file)
  t.is(await ask('new-two'), 200)
  t.is(await ask('new-one'), 401)
})

test.serial('if a line of the key file is wrong, the other lines apply, and the log names the line', async (t) => {
  lines.length = 0
  writeFileSync(file, `a-key-by-mistake partner *\n${lineOf('good', 'machine *')}`)
  t.is((await app.ask(t, '/ping?message=hi', withKey('good'))).status, 200)
  t.is((await app.ask(t, '/ping?message=hi', withKey('for-all'))).status, 401)
  t.is(lines.filter((line) => /line 1: expected a SHA-256 digest in hex/.test(line)).length, 1)
  t.notRegex(lines.join(''), /a-key-by-mistake/)
})

test.serial('while the key file cannot be read, the keys that were read before still apply', async (t) => {
  t.is((await app.ask(t, '/ping?message=hi', withKey('for-all'))).status, 200)
  lines.length = 0
  rmSync(file)
  t.is((await app.ask(t, '/ping?message=hi', withKey('for-all'))).status, 200)
  t.is((await app.ask(t, '/ping?message=hi', withKey('unknown'))).status, 401)
  t.is(lines.filter((line) => /cannot be read any more/.test(line)).length, 1)
})

test('a key file that cannot be used is an error at start', (t) => {
  const door = (path: string) => () => doorOf(runtimeOf({AUTH: 'jwt', AUTH_API_KEYS: path}))
  t.throws(door(join(folder, 'none')), {
    instanceOf: ConfigError,
    message: /^AUTH_API_KEYS="[^"]+": expected a file that can be read: /,
  })
  const wrong = join(folder, 'wrong')
  writeFileSync(wrong, `# a comment\nabc partner *\n${lineOf('a', 'name')}\n${lineOf('b', 'name * more')}`)
  const error = t.throws(door(wrong), {instanceOf: ConfigError})
  t.deepEqual(error?.message.match(/line \d/g), ['line 2', 'line 3', 'line 4'])
})

test('npm run key makes a key and the line for it', async (t) => {
  const args = ['local/cli/main.ts', 'key', 'partner', 'ping.PingService/Send']
  const {stdout} = await promisify(execFile)(process.execPath, args)
  const [, key = '', line = ''] = /^key {3}(\S+)\nline {2}(.+)\n$/.exec(stdout) ?? []
  t.is(line, lineOf(key, 'partner ping.PingService/Send'))
  t.is(key.length, 43)
})

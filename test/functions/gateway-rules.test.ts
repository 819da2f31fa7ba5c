import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {PassThrough} from 'node:stream'
import test from 'ava'
import {pino} from 'pino'
import {gateway} from '../../src/gateway/gateway.ts'
import {readRules} from '../../src/gateway/rules-file.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {buildSchema} from './gateway-schema.ts'
import {type Served, silence, startServed} from './gateway-services.ts'

/** Google's mixin services, as in a schema that imports their messages, without one of them. */
const protos = {
  'operations.proto': `syntax = "proto3";
    package google.longrunning;
    import "google/api/annotations.proto";
    message Name { string name = 1; }
    service Operations {
      rpc GetOperation(Name) returns (Name) { option (google.api.http) = {get: "/v1/{name=operations/**}"}; }
      rpc WaitOperation(Name) returns (Name);
      rpc DeleteOperation(Name) returns (Name) { option (google.api.http) = {delete: "/v1/{name=operations/**}"}; }
    }`,
  'policy.proto': `syntax = "proto3";
    package google.iam.v1;
    message Asked { string resource = 1; repeated string permissions = 2; }
    service IAMPolicy { rpc TestIamPermissions(Asked) returns (Asked); }`,
  'uses.proto': `syntax = "proto3";
    package uses;
    import "operations.proto";
    import "policy.proto";
    message Use { google.longrunning.Name name = 1; google.iam.v1.Asked asked = 2; }`,
}

const yaml = `type: google.api.Service
config_version: 3
name: served.example.com
documentation: {summary: Read by other programs.}
authentication:
  rules: [{selector: '*'}]
http:
  fully_decode_reserved_expansion: true
  rules:
  - selector: served.Echo.Whole
    get: /never
  - selector: served.Echo.Whole
    post: /files/{name=a/**}:run
    body: child
    response_body: name
    additional_bindings:
    - get: /files/{name=a/*/**}
    - custom: {kind: PURGE, path: '/files/{name=a/*}'}
  - selector: served.Plain.One
    get: /plain/{name}
  - selector: google.longrunning.Operations.GetOperation
    get: '/v2/{name=operations/*}'
  - selector: google.longrunning.Operations.WaitOperation
    post: '/v2/{name=operations/*}:wait'
    body: '*'
  - selector: google.iam.v1.IAMPolicy.*
    post: '/v2/{resource=things/*}:testIamPermissions'
    body: '*'
  - selector: google.cloud.location.Locations.GetLocation
    get: '/v2/{name=locations/*}'
backend:
  rules:
  - selector: served.*
    deadline: 60.0
  - selector: served.Older.*, served.Streams.Down
    deadline: 0.3
  - selector: 'served.Echo.Paths, served.Echo.Custom'
    deadline: 90.0
    address: grpcs://elsewhere.example.com
`

const folder = mkdtempSync(join(tmpdir(), 'rules-'))
let files = 0

function fileOf(text: string): string {
  const path = join(folder, `rules${++files}.yaml`)
  writeFileSync(path, text)
  return path
}

let app: Served
let log: string[]
test.before(async () => {
  const written = new PassThrough()
  app = await startServed({
    protos,
    echoes: ['google.longrunning.Operations', 'google.iam.v1.IAMPolicy'],
    env: {GATEWAY_RULES: fileOf(yaml), GATEWAY_DEFAULT_BINDINGS: ''},
    log: pino({messageKey: 'message', base: null}, written),
  })
  log = String(written.read()).trim().split('\n')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  rmSync(folder, {recursive: true})
})

const json = {headers: {'content-type': 'application/json'}}

test.serial('a rule of the file replaces all rules of the proto, and the last rule for a method applies', async (t) => {
  const run = await app.send('POST /files/a/b:run', {...json, body: '{"name": "c"}'})
  t.is(run.text, '"a/b"')
  t.is((await app.send('GET /files/a/b/c?int32_value=3')).json.int32Value, 3)
  t.is((await app.send('PURGE /files/a/b')).json.name, 'a/b')
  t.is((await app.send('GET /never')).status, 404)
  t.is((await app.send('GET /whole')).status, 404)
  t.is((await app.send('GET /one/a')).json.name, 'a', 'what the file has no rule for keeps its own')
})

test.serial(
  'rules of the file serve methods without a rule of their own, and mixins that are only imported',
  async (t) => {
    t.is((await app.send('GET /plain/a')).json.name, 'a')
    t.is((await app.send('GET /v2/operations/7')).json.name, 'operations/7')
    t.is((await app.send('POST /v2/operations/7:wait', json)).json.name, 'operations/7')
    const asked = await app.send('POST /v2/things/1:testIamPermissions', {...json, body: '{"permissions": ["x"]}'})
    t.deepEqual(asked.json, {resource: 'things/1', permissions: ['x']})
    t.is((await app.send('DELETE /v1/operations/7')).status, 404)
    t.is((await app.send('GET /v1/operations/7')).status, 404)
    const {paths} = (await app.send('GET /openapi.json')).json
    t.true('/plain/{name}' in paths)
  },
)

test.serial('fully_decode_reserved_expansion decodes %2F in variables of several segments', async (t) => {
  t.is((await app.send('GET /files/a/b%2Fc/d%2Fe/f%3A%20g')).json.name, 'a/b%2Fc/d/e/f: g')
  t.is((await app.send('POST /files/a/b%2fc:run', json)).text, '"a/b/c"')
  t.is((await app.send('PURGE /files/a/b%2Fc%3A')).json.name, 'a/b%2Fc:')
  t.is((await app.send('GET /one/a%2Fb')).json.name, 'a/b')
})

test.serial('GATEWAY_PATH_DECODING=first holds beside fully_decode_reserved_expansion', async (t) => {
  const env = {GATEWAY_RULES: fileOf(yaml), GATEWAY_DEFAULT_BINDINGS: '', GATEWAY_PATH_DECODING: 'first'}
  const first = await startServed({protos, echoes: ['google.longrunning.Operations', 'google.iam.v1.IAMPolicy'], env})
  t.teardown(() => first.close())
  t.is((await first.send('GET /files/a/b%2Fc/d%2Fe')).json.name, 'a/b/c/d/e')
  t.is((await first.send('PURGE /files/a/b%2Fc')).status, 405)
  t.is((await first.send('GET /plain/a%2Fb')).status, 404)
})

test.serial('a deadline of the file ends a call, or a silent server stream', async (t) => {
  using _plain = app.older.handle({old: (_request, context) => silence(context)})
  t.is((await app.send('GET /old/a')).status, 504)
  using _streams = app.streams.handle({
    async *down(_request, context) {
      yield {name: 'a'}
      await silence(context)
    },
  })
  const {text} = await app.send('GET /down')
  t.regex(text, /^\{"name":"a"\}\n\{"error":.*"DEADLINE_EXCEEDED"/)
  const call = app.echo.next()
  await app.send('GET /one/a')
  const {deadline} = (await call).context
  t.true(Number(deadline) - Date.now() > 60_000, 'the last rule holds, and may be longer than ours')
})

test('the log names the parts of the file that have no effect here', (t) => {
  const messages = log.map((line) => JSON.parse(line).message as string).slice(0, -1)
  t.deepEqual(
    messages.map((message) => message.replaceAll(/\S*rules1\.yaml/g, 'FILE')),
    [
      'The schema does not have "google.cloud.location.Locations.GetLocation" (line 29) of FILE',
      'FILE, line 5: "authentication" is ignored by this gateway',
      'FILE, line 37: "address" of a backend rule is ignored by this gateway: BACKEND_URL and BACKEND_AUDIENCE configure the backend',
    ],
  )
})

/** Why a gateway with this file does not start. */
function problemsOf(text: string, env: Record<string, string> = {}): string[] {
  const path = fileOf(text)
  try {
    const settings = {BACKEND_URL: 'http://localhost:1', GATEWAY_RULES: path, ...env}
    gateway(runtimeOf(settings), {schema: app.schema.registry})
  } catch (error) {
    const {name, message} = error as Error
    return name === 'ConfigError' ? message.replaceAll(path, 'FILE').split('\n') : [String(error)]
  }
  return []
}

for (const [title, text, problems] of [
  [
    'the same in JSON',
    '{"http": {"rules": [{"selector": "served.Echo.Whole", "get": "/x", "additionalBindings": [{"get": "/y", "responseBody": "name"}]}]}}',
    [],
  ],
  ['an empty file', '', ['GATEWAY_RULES="FILE", line 1: expected http, backend, apis, name …']],
  ['no YAML', 'http:\n  rules: [\n', ['GATEWAY_RULES="FILE", line 3: expected YAML or JSON: ']],
  [
    'a key twice',
    'http:\n  rules: []\nhttp: {}\n',
    ['GATEWAY_RULES="FILE", line 3: expected YAML or JSON: Map keys must be unique'],
  ],
  [
    'a field by both of its names',
    'http:\n  rules:\n  - selector: served.Echo.Whole\n    get: /x\n    response_body: name\n    responseBody: name\n',
    ['GATEWAY_RULES="FILE", line 6: "response_body" is there twice'],
  ],
  [
    'an unknown key',
    'htp:\n  rules: []\n',
    ['GATEWAY_RULES="FILE", line 1: there is no "htp" here: did you mean http?'],
  ],
  [
    'unknown keys and values of other types, all of them',
    'http:\n  rules:\n  - selector: served.Echo.Whole\n    gett: /x\n    body: 1\n  - get: /y\n  - served.Echo.Body\n  fully_decode_reserved_expansion: "yes"\nbackend:\n  rules:\n  - selector: "*"\n    deadline: 10s\n  - selector: "*"\n    deadline: 0\n',
    [
      'GATEWAY_RULES="FILE", line 4: there is no "gett" here: did you mean get?',
      'GATEWAY_RULES="FILE", line 3: the rule has no pattern: expected one of get, put, post, delete, patch and custom',
      'GATEWAY_RULES="FILE", line 5: expected text',
      'GATEWAY_RULES="FILE", line 6: the rule has no selector: expected the full name of a method',
      'GATEWAY_RULES="FILE", line 7: expected selector, get, put, post …',
      'GATEWAY_RULES="FILE", line 7: the rule has no pattern: expected one of get, put, post, delete, patch and custom',
      'GATEWAY_RULES="FILE", line 7: the rule has no selector: expected the full name of a method',
      'GATEWAY_RULES="FILE", line 8: expected "true" or "false"',
      'GATEWAY_RULES="FILE", line 12: expected seconds, such as 60.0',
      'GATEWAY_RULES="FILE", line 14: expected seconds, more than 0',
    ],
  ],
  [
    'selectors and services that match nothing',
    'apis:\n- name: served.Ecko\n- name: served.Plain\n- name: google.iam.v1.IAMPolicy\nhttp:\n  rules:\n  - {selector: served.Echo.Hole, get: /x}\n  - {selector: served.Ech*, get: /x}\n  - {selector: served.Plain.One, get: /one}\n',
    [
      'GATEWAY_RULES="FILE", line 7: selector "served.Echo.Hole" is for no method of the schema: did you mean served.Echo.Whole?',
      'GATEWAY_RULES="FILE", line 8: selector "served.Ech*" is for no method of the schema: did you mean served.Echo.Body?',
      'GATEWAY_RULES="FILE", line 2: there is no service "served.Ecko": did you mean served.Echo?',
    ],
  ],
  [
    'rules that cannot be served, by their lines',
    'http:\n  rules:\n  - selector: served.Echo.Whole\n    get: /{names}\n  - selector: served.Plain.One\n    get: /one/{name}\n',
    [
      'FILE, line 5: served.Plain/One: get: "/one/{name}": takes the same requests as get: "/one/{name}" of served.proto: served.Echo/Paths',
      'FILE, line 3: served.Echo/Whole: get: "/{names}": "{names}" is a repeated field: expected a scalar, an enum or a type whose JSON is a string',
    ],
  ],
] as const) {
  test.serial(`GATEWAY_RULES: ${title}`, (t) => {
    const found = problemsOf(text)
    t.is(found.length, problems.length, found.join('\n'))
    for (const problem of problems)
      t.true(
        found.some((line) => line.startsWith(problem)),
        `${problem}\n${found.join('\n')}`,
      )
  })
}

test.serial('GATEWAY_RULES: a file that is not there', (t) => {
  t.throws(
    () =>
      gateway(runtimeOf({BACKEND_URL: 'http://localhost:1', GATEWAY_RULES: join(folder, 'none')}), {
        schema: app.schema.registry,
      }),
    {
      name: 'ConfigError',
      message: /^GATEWAY_RULES=".*none": expected a file: ENOENT/,
    },
  )
})

test.serial('only the apis of the file are served, unless GATEWAY_SERVICES names more', async (t) => {
  const text =
    'apis:\n- name: served.Plain\n- name: served.Echo\nhttp:\n  rules:\n  - {selector: served.Plain.One, get: /plain}\n'
  const served = (env: Record<string, string>) => {
    const written = new PassThrough()
    const runtime = runtimeOf({BACKEND_URL: 'http://localhost:1', GATEWAY_RULES: fileOf(text), ...env})
    gateway({...runtime, log: pino({messageKey: 'message'}, written)}, {schema: app.schema.registry})
    return JSON.parse(String(written.read())).message as string
  }
  t.true(
    served({}).startsWith(
      'Served: served.Echo, served.Plain/One. Not served: served.Plain/Both (no google.api.http rule',
    ),
  )
  t.regex(served({}), /served\.Bytes.*\(not in the apis of GATEWAY_RULES\)/)
  t.true(served({GATEWAY_SERVICES: 'served.Bytes'}).startsWith('Served: served.Bytes. '))
})

test.serial('GATEWAY_UNSERVABLE=warn serves the rest of a file as well', (t) => {
  const text = 'http:\n  rules:\n  - {selector: served.Echo.Hole, get: /x}\n'
  t.is(problemsOf(text).length, 1)
  t.deepEqual(problemsOf(text, {GATEWAY_UNSERVABLE: 'warn'}), [])
  t.is(
    problemsOf('http:\n  ruls: []\n', {GATEWAY_UNSERVABLE: 'warn'}).length,
    1,
    'an unknown key in the file is an error at start all the same',
  )
})

const shops = `syntax = "proto3";
package a;
message Name { string name = 1; }
service Shop { rpc Get(Name) returns (Name); rpc Set(Name) returns (Name); }
service Shopping { rpc Get(Name) returns (Name); }
service Other { rpc Get(Name) returns (Name); }`

test('a selector is a method, all below a name, or all; of several rules the last one applies', (t) => {
  using schema = buildSchema({'a.proto': shops})
  const deadlinesOf = (rules: string) =>
    Object.fromEntries(readRules(fileOf(`backend:\n  rules:\n${rules}`), schema.registry).deadlines)
  t.deepEqual(deadlinesOf('  - {selector: "*", deadline: 10}'), {
    'a.Shop/Get': 10_000,
    'a.Shop/Set': 10_000,
    'a.Shopping/Get': 10_000,
    'a.Other/Get': 10_000,
  })
  t.deepEqual(deadlinesOf('  - {selector: a.Shop.*, deadline: 20}'), {'a.Shop/Get': 20_000, 'a.Shop/Set': 20_000})
  t.deepEqual(deadlinesOf('  - {selector: "a.Other.Get , a.Shop.Set", deadline: 0.5}'), {
    'a.Other/Get': 500,
    'a.Shop/Set': 500,
  })
  t.deepEqual(deadlinesOf('  - {selector: a.Shop.Get, deadline: 1}\n  - {selector: a.*, deadline: 2}'), {
    'a.Shop/Get': 2000,
    'a.Shop/Set': 2000,
    'a.Shopping/Get': 2000,
    'a.Other/Get': 2000,
  })
})

test('the apis of a file are its services with their mixins, and a part of it may be an alias', (t) => {
  using schema = buildSchema({'a.proto': shops})
  const {apis, http, problems} = readRules(
    fileOf(`apis:
- name: a.Shop
  mixins:
  - {name: a.Shopping, root: a}
- name: a.Other
http:
  rules:
  - &rule {selector: a.Shop.Get, get: &path /shop}
  - {selector: a.Other.Get, get: *path}
`),
    schema.registry,
  )
  t.deepEqual(problems, [])
  t.deepEqual(apis, ['a.Shop', 'a.Shopping', 'a.Other'])
  t.deepEqual(
    [...http].map(([name, {rule}]) => [name, rule.pattern.value]),
    [
      ['a.Shop/Get', '/shop'],
      ['a.Other/Get', '/shop'],
    ],
  )
})

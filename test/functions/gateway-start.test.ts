import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {frameworkMain, startFunctions} from '../../local/functions.ts'
import {startStack} from '../../local/stack.ts'
import {compileCache} from '../helpers/compile-cache.ts'
import {buildSchema, servedSchema} from './gateway-schema.ts'

const root = join(import.meta.dirname, '../..')
const {PATH} = process.env

/** Exit code of a process that has begun to listen. */
const listened = 99
const endOnceItListens = `data:text/javascript,
  import {subscribe} from 'node:diagnostics_channel';
  subscribe('tracing:net.server.listen:asyncEnd', () => process.exit(${listened}))`

/** The exit code and the error lines of a gateway that cannot start. @throws {Error} when it starts */
async function refusal(
  env: Record<string, string>,
  target = 'gateway',
): Promise<{code: number | null; lines: string[]}> {
  const args = ['--import', endOnceItListens, frameworkMain(), `--target=${target}`, '--port=0']
  const child: ChildProcess = spawn(process.execPath, args, {
    cwd: root,
    env: {PATH, ...compileCache, NODE_ENV: 'production', BACKEND_URL: 'http://localhost:1', PORT: '0', ...env},
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const lines = child.stderr!.setEncoding('utf8').toArray()
  const [code] = (await once(child, 'close')) as [number | null]
  if (code === listened) throw new Error('The gateway started: expected that it refuses to')
  return {code, lines: (await lines).join('').trimEnd().split('\n')}
}

const head = `syntax = "proto3";
package bad;
import "every/every.proto";
import "google/api/annotations.proto";
`

/** Rules of a service's methods, each of which is refused with the text beside it. */
const rules: readonly [rule: string, refusal: RegExp][] = [
  ['get: ""', /expected/],
  ['get: "//"', /expected/],
  ['get: "/{}"', /expected/],
  ['get: "/a/"', /expected/],
  ['get: "/a//b"', /expected/],
  ['get: ":verb"', /expected/],
  ['get: "/:verb"', /expected/],
  ['get: "/a/:verb"', /expected/],
  ['get: "/{name}:"', /expected/],
  ['get: "/{name}a"', /expected/],
  ['get: "/a{name}"', /expected/],
  ['get: "/{name={flag}}"', /nest/],
  ['get: "/{1}"', /expected/],
  ['get: "/{name-}"', /expected/],
  ['get: "/foo/bar*"', /expected/],
  ['get: "/foo/***"', /expected/],
  ['get: "foo/bar"', /expected/],
  ['get: "/foo?x"', /expected/],
  ['get: "/a/**/**"', /"\*\*" after "\*\*"/],
  ['get: "/u/{nope}"', /no field "nope"/],
  ['get: "/u/{child.nope}"', /no field "nope"/],
  ['get: "/u/{names}"', /"\{names\}" is a repeated field/],
  ['get: "/u/{labels}"', /"\{labels\}" is a map/],
  ['get: "/u/{child}"', /"\{child\}" is a message/],
  ['get: "/u/{name.x}"', /"name" is a scalar/],
  ['post: "/body" body: "nope"', /body: "nope"/],
  ['get: "/response" response_body: "nope"', /response_body: "nope"/],
]

/** Options that are not valid rules, each with the text of its refusal. */
const options: readonly [option: string, refusal: RegExp][] = [
  ['body: "*"', /no pattern/],
  ['custom: {kind: "a b" path: "/x"}', /custom kind "a b"/],
  ['get: "/x" additional_bindings {get: "/y" additional_bindings {get: "/z"}}', /one level deep/],
  ['get: "/x/{name}/{name}"', /there twice/],
  ['post: "/x/{name}" body: "name"', /is the body as well/],
  ['get: "/x/{choice_text}/{choice_long}"', /exclude each other/],
]

/** HTTP methods, of which only the last four can be those of a request. */
const kinds = ['FOO', 'fetch', 'CONNECT', 'connect', 'QUERY', 'M-SEARCH', 'head', '*']

/** A file with a service that has a method for each rule: M0, M1, … */
function serviceWith(name: string, rules: readonly string[]): string {
  const methods = rules.map(
    (rule, index) => `rpc M${index}(every.Every) returns (every.Every) { option (google.api.http) = {${rule}}; }`,
  )
  return `${head}service ${name} {\n${methods.join('\n')}\n}\n`
}

let refused: ReturnType<typeof refusal> | undefined

/** The exit code for these rules, options and methods, and the lines about those in one file. A single start refuses them all. */
async function refusedIn(file: string): Promise<{code: number | null; lines: string[]}> {
  refused ??= refusalOfAll()
  const {code, lines} = await refused
  return {code, lines: lines.filter((line) => line.startsWith(`${file}: `))}
}

async function refusalOfAll() {
  using schema = buildSchema({
    'rules.proto': serviceWith(
      'Rules',
      rules.map(([rule]) => rule),
    ),
    'options.proto': serviceWith(
      'Options',
      options.map(([option]) => option),
    ),
    'methods.proto': serviceWith(
      'Methods',
      kinds.map((kind, index) => `custom: {kind: "${kind}" path: "/x${index}"}`),
    ),
  })
  return await refusal({GATEWAY_DESCRIPTORS: schema.path})
}

test('every rule that cannot be served is refused at start: a line each with proto file, method and rule', async (t) => {
  const {code, lines} = await refusedIn('rules.proto')
  t.is(code, 1)
  t.is(lines.length, rules.length, lines.join('\n'))
  for (const [index, [rule, why]] of rules.entries()) {
    const line = lines[index] ?? ''
    t.true(line.startsWith(`rules.proto: bad.Rules/M${index}: `), line)
    t.true(line.includes(/"[^"]*"/.exec(rule)?.[0] ?? ''), line)
    t.regex(line, why)
  }
})

test('an option that is not a valid rule is refused', async (t) => {
  const {code, lines} = await refusedIn('options.proto')
  t.is(code, 1)
  t.is(lines.length, options.length, lines.join('\n'))
  for (const [index, [, why]] of options.entries()) {
    t.true(lines[index]?.startsWith(`options.proto: bad.Options/M${index}: `), lines[index])
    t.regex(lines[index] ?? '', why)
  }
})

test('an HTTP method that no request can have is refused', async (t) => {
  const {code, lines} = await refusedIn('methods.proto')
  t.is(code, 1)
  t.is(lines.length, 4, lines.join('\n'))
  for (const [index, kind] of kinds.slice(0, 4).entries()) {
    const rule = `methods.proto: bad.Methods/M${index}: custom: {kind: "${kind}", path: "/x${index}"}: `
    t.true(lines[index]?.startsWith(rule), lines[index])
    t.true(lines[index]?.includes(`the method ${kind.toUpperCase()}: expected `), lines[index])
  }
})

test('all rules of all files are refused in one start, and nothing else', async (t) => {
  refused ??= refusalOfAll()
  const {lines} = await refused
  t.is(lines.length, rules.length + options.length + 4, lines.join('\n'))
})

test('a schema or services without any binding are refused with their variable', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-start-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  const path = join(folder, 'empty')
  writeFileSync(path, '')
  using schema = buildSchema({
    'bare.proto': 'syntax = "proto3"; package bad; message M {} service Bare { rpc A(M) returns (M); } service None {}',
  })
  for (const [env, start] of [
    [
      {GATEWAY_DESCRIPTORS: path, GATEWAY_DEFAULT_BINDINGS: 'true'},
      `GATEWAY_DESCRIPTORS="${path}": expected a service with at least a method`,
    ],
    [
      {GATEWAY_DESCRIPTORS: schema.path},
      `GATEWAY_DESCRIPTORS="${schema.path}": expected a service with at least a google.api.http rule: methods without one are served with GATEWAY_DEFAULT_BINDINGS=true`,
    ],
    [
      {GATEWAY_DESCRIPTORS: schema.path, GATEWAY_SERVICES: 'bad.Bare', GATEWAY_DEFAULT_BINDINGS: 'false'},
      'GATEWAY_SERVICES="bad.Bare": expected a service with at least a google.api.http rule',
    ],
    [
      {GATEWAY_DESCRIPTORS: schema.path, GATEWAY_SERVICES: 'bad.None'},
      'GATEWAY_SERVICES="bad.None": expected a service with at least a method. The schema has bad.Bare, bad.None',
    ],
  ] as const) {
    const {code, lines} = await refusal(env)
    t.is(code, 1)
    t.is(lines.length, 1, lines.join('\n'))
    t.true(lines[0]?.startsWith(start), lines[0])
  }
})

test('two bindings with the same HTTP method, shape and verb are refused with both rules', async (t) => {
  using schema = buildSchema({
    'one.proto': `${head}
      service One {
        rpc A(every.Every) returns (every.Every) { option (google.api.http) = {get: "/v1/{name}/x:go"}; }
        rpc B(every.Every) returns (every.Every) { option (google.api.http) = {post: "/v1/{name}/x:go" body: "*"}; }
      }`,
    'two.proto': `${head}
      service Two {
        rpc C(every.Every) returns (every.Every) {
          option (google.api.http) = {
            get: "/v1/{renamed=*}/x:stop"
            additional_bindings {get: "/v1/{renamed=*}/x:go"}
          };
        }
      }`,
  })
  const {code, lines} = await refusal({GATEWAY_DESCRIPTORS: schema.path})
  t.is(code, 1)
  t.deepEqual(lines, [
    'two.proto: bad.Two/C: get: "/v1/{renamed=*}/x:go": takes the same requests as get: "/v1/{name}/x:go" of one.proto: bad.One/A',
  ])
  t.deepEqual((await refusal({GATEWAY_DESCRIPTORS: schema.path, GATEWAY_SERVICES: 'bad.Three'})).lines, [
    'GATEWAY_SERVICES: there is no service "bad.Three": did you mean bad.One? The schema has bad.One, bad.Two, every.EveryService',
  ])
})

/** Rules at or near the paths of the functions themselves. Those with a path are refused. */
const reserved: readonly [target: string, rules: readonly [rule: string, path?: string][]][] = [
  [
    'gateway',
    [
      ['get: "/openapi.json"', '/openapi.json'],
      ['post: "/openapi%2Ejson" body: "*"', '/openapi.json'],
      ['get: "/health/live"', '/health/live'],
      ['get: "/{name}"'],
      ['get: "/ping"'],
      ['get: "/openapi.json:verb"'],
    ],
  ],
  [
    'app',
    [
      ['get: "/health"', '/health'],
      ['custom: {kind: "*" path: "/%68ealth"}', '/health'],
      ['post: "/upload" body: "*"', '/upload'],
      ['get: "/{name=ping}"', '/ping'],
      ['get: "/ping:verb"'],
      ['get: "/ping/more"'],
      ['get: "/{name}"'],
      ['get: "/{name=health/**}"'],
    ],
  ],
]

for (const [target, rules] of reserved) {
  test(`${target} refuses rules at its own paths, rather than shadow them`, async (t) => {
    const methods = rules.map(
      ([rule], index) => `rpc M${index}(every.Every) returns (every.Every) { option (google.api.http) = {${rule}}; }`,
    )
    using schema = buildSchema({'bad.proto': `${head}service Bad {\n${methods.join('\n')}\n}\n`})
    const {code, lines} = await refusal({GATEWAY_DESCRIPTORS: schema.path}, target)
    const refused = rules.filter(([, path]) => path !== undefined)
    t.is(code, 1)
    t.is(lines.length, refused.length, lines.join('\n'))
    for (const [index, [, path]] of refused.entries()) {
      t.true(lines[index]?.startsWith(`bad.proto: bad.Bad/M${index}: `), lines[index])
      t.true(lines[index]?.includes(`"${path}" is a path of the functions themselves`), lines[index])
    }
  })
}

test('an unknown service is refused by its name, with the names that there are', async (t) => {
  using schema = buildSchema({
    'shop.proto': `${head}
      service BookstoreService { rpc A(every.Every) returns (every.Every); }
      service Users { rpc B(every.Every) returns (every.Every); }
    `,
  })
  const env = {GATEWAY_DESCRIPTORS: schema.path, GATEWAY_SERVICES: 'bad.Users, BookstoreService no.Such'}
  const {code, lines} = await refusal(env)
  const all = 'The schema has bad.BookstoreService, bad.Users, every.EveryService'
  t.is(code, 1)
  t.deepEqual(lines, [
    `GATEWAY_SERVICES: there is no service "BookstoreService": did you mean bad.BookstoreService? ${all}`,
    `GATEWAY_SERVICES: there is no service "no.Such": did you mean bad.Users? ${all}`,
  ])
})

test('a URL for a service that the schema does not have is refused, with the services that it has', async (t) => {
  using schema = buildSchema({
    'shop.proto': `${head}service BookstoreService { rpc A(every.Every) returns (every.Every); }`,
  })
  const env = {GATEWAY_DESCRIPTORS: schema.path, BACKEND_URL_BOOKSTOR_SERVICE: 'http://localhost:2'}
  const {code, lines} = await refusal(env)
  t.is(code, 1)
  t.deepEqual(lines, [
    'BACKEND_URL_BOOKSTOR_SERVICE is for no service of the schema: did you mean BACKEND_URL_BOOKSTORE_SERVICE? The schema has bad.BookstoreService, every.EveryService',
  ])
})

test('descriptors that cannot be read are refused by their path, with what they are and what to do', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-start-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  using schema = servedSchema()
  const {file} = fromBinary(FileDescriptorSetSchema, readFileSync(schema.path))
  const alone = create(FileDescriptorSetSchema, {file: file.filter(({name}) => name === 'served.proto')})
  writeFileSync(join(folder, 'json'), '{"file": []}\n')
  writeFileSync(join(folder, 'served.proto'), `${head}message Bad {}\n`)
  writeFileSync(join(folder, 'alone.binpb'), toBinary(FileDescriptorSetSchema, alone))
  for (const [name, line] of [
    ['missing', /no such file/],
    ['', /directory/],
    ['json', /it is JSON, not binary: .*--include_imports/],
    ['served.proto', /it is the source of a \.proto, not compiled: .*--include_imports/],
    ['alone.binpb', /it lacks "every\/every\.proto" \(imported by "served\.proto"\).*--include_imports/],
  ] as const) {
    const path = join(folder, name)
    const {code, lines} = await refusal({GATEWAY_DESCRIPTORS: path})
    t.is(code, 1)
    t.is(lines.length, 1, lines.join('\n'))
    t.true(lines[0]?.startsWith(`GATEWAY_DESCRIPTORS="${path}": expected a FileDescriptorSet: `), lines[0])
    t.regex(lines[0] ?? '', line)
  }
})

test('a service without a backend is refused with the variables that would set one', async (t) => {
  const {code, lines} = await refusal({BACKEND_URL: '', BACKEND_URL_PING_SERVICE: 'http://localhost:1'})
  t.is(code, 1)
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /^BACKEND_URL_\w+ and BACKEND_URL are not set/)
})

for (const [name, value] of [
  ['GATEWAY_ERRORS', 'xml'],
  ['GATEWAY_UPDATE_MASK', 'true'],
  ['GATEWAY_IGNORE_UNKNOWN', 'yes'],
  ['GATEWAY_DEFAULT_BINDINGS', '0'],
  ['EVENT_STREAM_PING_SECONDS', 'never'],
] as const) {
  test(`${name}=${value} is refused`, async (t) => {
    const {code, lines} = await refusal({[name]: value})
    t.is(code, 1)
    t.is(lines.length, 1)
    t.true(lines[0]?.startsWith(`${name}="${value}": expected `), lines[0])
  })
}

test('GATEWAY_METADATA with keys that no caller may set is refused, and so is an invalid key', async (t) => {
  const forged = await refusal({GATEWAY_METADATA: 'x-tenant,X-Goog-Iap-Jwt-Assertion cookie'})
  t.is(forged.code, 1)
  t.is(forged.lines.length, 1, forged.lines.join('\n'))
  t.regex(forged.lines[0] ?? '', /^GATEWAY_METADATA: no caller may set "x-goog-iap-jwt-assertion", "cookie": expected /)
  const none = await refusal({GATEWAY_METADATA: 'x-tenant,*'})
  t.is(none.code, 1)
  t.regex(none.lines[0] ?? '', /^GATEWAY_METADATA="x-tenant,\*": expected metadata keys/)
})

test('a separate process serves any descriptors that it gets', async (t) => {
  using schema = servedSchema()
  await using stack = await startStack()
  const functions = await startFunctions({
    target: 'gateway',
    port: 0,
    env: {
      PATH: process.env.PATH,
      ...stack.env,
      LOG_LEVEL: 'silent',
      ...compileCache,
      GATEWAY_DESCRIPTORS: schema.path,
      // Not in the schema: another function that shares these variables calls it.
      BACKEND_URL_REPO: 'http://localhost:1',
    },
    output: 'pipe',
  })
  // The backend does not have this service, but its answer shows that it was called.
  const response = await fetch(`${functions.url}/whole?name=a`)
  t.is(response.status, 501)
  t.is((await fetch(`${functions.url}/api/ping`)).status, 404)
  functions.process.kill()
  t.is(await functions.exited, 0)
})

import {once} from 'node:events'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {DescService} from '@bufbuild/protobuf'
import test from 'ava'
import {type Logger, pino} from 'pino'
import {doorOf} from '../../src/auth/door.ts'
import {createRuntime} from '../../src/clients/runtime.ts'
import {ConfigError, readConfig} from '../../src/core/config.ts'
import {contractOf} from '../../src/core/contract.ts'
import {gateway} from '../../src/functions/gateway.ts'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {securityOf} from '../../src/http/access.ts'
import {createClient, type Handler, json} from '../../src/index.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {buildSchema} from '../functions/gateway-schema.ts'
import {HeldService} from '../functions/gateway-services.ts'
import {type App, startApp} from '../helpers/app.ts'
import {startIssuer, type TestIssuer} from './issuer.ts'

const proto = (methods: string, more = '') => `
  syntax = "proto3";
  import "google/api/annotations.proto";
  import "grpc_functions/options.proto";
  service Books {${methods}
  }
  message Name { string name = 1; }
  ${more}`

const schema = buildSchema({
  'books.proto': proto(`
    rpc List(Name) returns (Name) {
      option (google.api.http) = {get: "/list"};
      option (grpc_functions.auth) = {public: true};
    }
    rpc Read(Name) returns (Name) {
      option (google.api.http) = {get: "/read"};
      option (grpc_functions.auth) = {};
    }
    rpc Peek(Name) returns (Name) {
      option (google.api.http) = {get: "/peek"};
      option (grpc_functions.auth) = {public: true};
    }
    rpc Write(Name) returns (Name) {
      option (google.api.http) = {get: "/write"};
      option (grpc_functions.auth).allow = "scope=books.write|books.admin";
      option (grpc_functions.auth).allow = "hd=example.com";
    }
    rpc Signed(Name) returns (Name) { option (google.api.http) = {post: "/signed" body: "*"}; }
    rpc Other(Name) returns (Name) { option (google.api.http) = {get: "/other"}; }`),
})
const books = schema.registry.getService('Books')!
const same = (request: unknown) => request
const service = new HeldService(books, {list: same, read: same, peek: same, write: same, other: same, signed: same})

const folder = mkdtempSync(join(tmpdir(), 'contract-'))
let issuer: TestIssuer
let app: App
test.before(async () => {
  issuer = await startIssuer()
  writeFileSync(join(folder, 'stripe'), 'secret')
  app = await startApp({
    backend: {services: [service]},
    env: {
      GATEWAY_DESCRIPTORS: schema.path,
      AUTH: 'jwt',
      AUTH_ISSUERS: `${issuer.url} audience=api`,
      AUTH_PUBLIC: 'Books/Other /own',
      AUTH_WEBHOOK: `Books/Signed stripe secret=${join(folder, 'stripe')}; /health github secret=${join(folder, 'stripe')}`,
      AUTH_ALLOW: 'Books/Peek hd=example.com',
    },
  })
})
test.after.always(async () => {
  await app.close()
  await issuer.close()
  schema[Symbol.dispose]()
  rmSync(folder, {recursive: true})
})

const bearer = async (claims: object = {}) => ({headers: {authorization: `Bearer ${await issuer.token({...claims})}`}})
const writer = {scope: 'a books.write', hd: 'example.com'}

test.serial('a method is as open as its proto says, and the configuration can only restrict it', async (t) => {
  const asked = async (path: string, claims?: object) =>
    (await app.ask(t, path, claims && (await bearer(claims)))).status
  t.is(await asked('/list'), 200)
  t.is(await asked('/other'), 200)
  t.is(await asked('/read'), 401)
  t.is(await asked('/read', {}), 200)
  t.is(await asked('/peek'), 401, 'AUTH_ALLOW has conditions')
  t.is(await asked('/peek', {}), 403)
  t.is(await asked('/peek', {hd: 'example.com'}), 200)
  t.is(await asked('/write'), 401)
  t.is(await asked('/write', {hd: 'example.com'}), 403)
  t.is(await asked('/write', {scope: 'books.write'}), 403)
  t.is(await asked('/write', writer), 200)
  t.is(await asked('/write', {...writer, scope: 'books.admin'}), 200)
})

test.serial('the same methods are open and closed by Connect', async (t) => {
  const asked = async (name: string, claims?: object) => {
    const headers = {'content-type': 'application/json', 'connect-protocol-version': '1'}
    const all = {...headers, ...(claims && (await bearer(claims)).headers)}
    return (await app.ask(t, `/Books/${name}`, {method: 'POST', headers: all, body: '{}'})).status
  }
  t.deepEqual(
    [await asked('List'), await asked('Read'), await asked('Read', {}), await asked('Write', {})],
    [200, 401, 200, 403],
  )
  t.is(await asked('Write', writer), 200)
})

test.serial('the description says what a proto requires', async (t) => {
  const {json: document} = await app.ask(t, '/openapi.json', await bearer())
  const security = (path: string) => document.paths[path].get.security
  t.deepEqual(security('/list'), [])
  t.deepEqual(security('/other'), [])
  t.is(security('/read'), undefined)
  t.is(security('/peek'), undefined)
  t.deepEqual(security('/write'), [{bearer: ['books.write|books.admin', 'hd=example.com']}])
  t.deepEqual(document.paths['/signed'].post.security, [{bearer: []}, {signature: []}])
  t.deepEqual(document.components.securitySchemes.signature, {type: 'apiKey', in: 'header', name: 'stripe-signature'})
  t.deepEqual(Object.keys(document.components.securitySchemes), ['bearer', 'signature'])
})

test('the option applies to functions without the gateway too, by the methods that they call', (t) => {
  const runtime = createRuntime(
    readConfig({
      BACKEND_URL: app.backend.url,
      BACKEND_AUDIENCE: 'none',
      LOG_LEVEL: 'silent',
      AUTH: 'jwt',
      AUTH_ISSUERS: `${issuer.url} audience=api`,
      AUTH_PUBLIC: '/own',
    }),
  )
  t.teardown(() => runtime.close())
  createClient(runtime, books)
  const door = doorOf(runtime)
  const calling = (...methods: string[]) => ({name: '/own', methods: methods.map((name) => `Books/${name}`)})
  t.true(door.isOpen({methods: ['Books/List', 'Books/Peek']}))
  t.false(door.isOpen({methods: ['Books/List', 'Books/Other']}))
  t.true(door.isOpen(calling('List')))
  t.true(door.isOpen(calling()), 'AUTH_PUBLIC opens the function')
  t.false(door.isOpen(calling('List', 'Write')), 'and not what its proto closes')
  t.throws(() => door.checkCall(undefined, 'Books/Write'), {message: /no valid credentials/})
  t.throws(() => door.checkCall({kind: 'key', name: 'a', methods: ['Books/Write']}, 'Books/Write'), {
    message: /may not/,
  })
  t.notThrows(() => door.checkCall({kind: 'key', name: 'a', methods: ['*']}, 'Books/Read'))
})

test.serial('a function of the same instance cannot bypass the options of the descriptors', async (t) => {
  const {write} = createClient(app.runtime, books) as Record<string, (...args: unknown[]) => Promise<unknown>>
  const handler: Handler = async (scope) => {
    await write?.(scope, {name: 'it'})
    return json({})
  }
  const open: Handler = Object.assign((scope: Parameters<Handler>[0]) => handler(scope), {
    access: {isOpen: true as const},
  })
  for (const [made, init, status] of [
    [handler, await bearer(), 403],
    [handler, await bearer(writer), 200],
    [open, {}, 401],
  ] as const) {
    const {url, close} = await app.serve(made)
    t.is((await fetch(url, init)).status, status)
    await close()
  }
})

test.serial('a client of another runtime cannot bypass the option of its proto', async (t) => {
  const BACKEND_URL = app.backend.url
  const other = runtimeOf({BACKEND_URL, BACKEND_AUDIENCE: 'none', AUTH: 'none'})
  const own = createRuntime(
    readConfig({BACKEND_URL, LOG_LEVEL: 'silent', AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`}),
  )
  const {write} = createClient(other, books) as Record<string, (...args: unknown[]) => Promise<unknown>>
  const {serve} = await import('../../src/http/serve.ts')
  const handler = serve(async (scope) => {
    await write?.(scope, {name: 'it'})
    return json({})
  }, own)
  const server = createServer((request, response) => void handler(request, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.is((await fetch(url, await bearer())).status, 403)
  server.close()
  server.closeAllConnections()
  own.close()
  other.close()
})

const jwt = {
  BACKEND_URL: 'http://localhost:1',
  GATEWAY_DESCRIPTORS: schema.path,
  AUTH: 'jwt',
  AUTH_ISSUERS: 'https://idp.example a',
}

function refusal(env: Readonly<Record<string, string>>): string {
  try {
    gateway(runtimeOf({...jwt, AUTH_ISSUERS: 'https://idp.example audience=a', ...env}))
  } catch (error) {
    return error instanceof ConfigError ? error.message : String(error)
  }
  return 'started'
}

test('two protos of one method both apply: it is as closed as either of them says', (t) => {
  using stricter = buildSchema({
    'stricter.proto': proto(`
      rpc List(Name) returns (Name) { option (grpc_functions.auth).allow = "hd=example.com"; }
      rpc Read(Name) returns (Name) { option (grpc_functions.auth) = {public: true}; }
      rpc Write(Name) returns (Name) { option (grpc_functions.auth).allow = "email=a@example.com"; }`),
  })
  const other = stricter.registry.getService('Books')!
  for (const services of [
    [books, other],
    [other, books],
  ]) {
    const runtime = runtimeOf({...jwt, AUTH_ISSUERS: 'https://idp.example audience=a'})
    const contract = contractOf(runtime)
    for (const service of services) contract.learn([service])
    for (const name of ['Books/List', 'Books/Read'])
      t.deepEqual([doorOf(runtime).isOpen({name}), contract.isOpen(name)], [false, false], name)
    t.deepEqual(
      contract
        .conditionsOf('Books/Write')
        .map(({claim}) => claim)
        .sort(),
      ['email', 'hd', 'scope'],
    )
    const caller = (claims: object) =>
      ({kind: 'token', subject: 'a', issuer: 'https://idp.example', claims: {...claims}}) as const
    const call = (claims: object) => () => doorOf(runtime).checkCall(caller(claims), 'Books/Write')
    t.throws(call(writer), {message: /may not/})
    t.throws(call({email: 'a@example.com'}), {message: /may not/})
    t.notThrows(call({...writer, email: 'a@example.com'}))
  }
})

for (const [env, security] of [
  [{AUTH_ISSUERS: 'https://idp.example audience=a'}, [{type: 'http', scheme: 'bearer'}]],
  [{AUTH_ISSUERS: 'https://idp.example audience=a header=x-own'}, undefined],
  [
    {AUTH_ISSUERS: 'https://idp.example audience=a', OPENAPI_SECURITY: 'header:x-proxy'},
    [{type: 'apiKey', in: 'header', name: 'x-proxy'}],
  ],
  [{AUTH_ISSUERS: 'https://idp.example audience=a', OPENAPI_SECURITY: 'none'}, []],
  [{AUTH: 'iam', AUTH_ISSUERS: ''}, undefined],
  [{AUTH: 'iam', AUTH_ISSUERS: '', OPENAPI_SECURITY: 'basic'}, [{type: 'http', scheme: 'basic'}]],
] as const) {
  test(`the description names the ways to authenticate: ${JSON.stringify(env)}`, (t) =>
    t.deepEqual<unknown, unknown>(securityOf(runtimeOf({...jwt, ...env})).security, security))
}

test('scopes that a proto demands are described by their names, in both claims that hold them', (t) => {
  using scoped = buildSchema({
    'scoped.proto': proto(`
      rpc Old(Name) returns (Name) { option (grpc_functions.auth).allow = "scope=books.read|books.write"; }
      rpc Entra(Name) returns (Name) {
        option (grpc_functions.auth) = {allow: ["scp=Books.Read", "roles=admin"]};
      }`),
  })
  const runtime = runtimeOf({...jwt, AUTH_ISSUERS: 'https://idp.example audience=a'})
  contractOf(runtime).learn([scoped.registry.getService('Books')!])
  const {rolesOf} = securityOf(runtime)
  t.deepEqual(rolesOf('Books/Old'), ['books.read|books.write'])
  t.deepEqual(rolesOf('Books/Entra'), ['Books.Read', 'roles=admin'])
})

test('AUTH_PUBLIC=none closes what a proto opens', (t) => {
  const runtime = runtimeOf({...jwt, AUTH_ISSUERS: 'https://idp.example audience=a', AUTH_PUBLIC: 'none'})
  gateway(runtime)
  t.false(doorOf(runtime).isOpen({name: 'Books/List'}))
})

test('conditions that AUTH does not verify are an error at start, unless AUTH is not set', (t) => {
  const withAuth = (AUTH: string) => {
    const {GATEWAY_DESCRIPTORS, BACKEND_URL} = jwt
    const lines: string[] = []
    const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger
    const runtime = createRuntime(readConfig({GATEWAY_DESCRIPTORS, BACKEND_URL, AUTH}), {log})
    try {
      gateway(runtime)
    } catch (error) {
      lines.push((error as Error).message)
    }
    const closed = ['List', 'Read', 'Write'].filter((name) => {
      try {
        doorOf(runtime).checkCall(undefined, `Books/${name}`)
        return false
      } catch {
        return true
      }
    })
    return {text: lines.join('\n'), closed}
  }
  const iam = withAuth('iam')
  t.regex(
    iam.text,
    /^\(grpc_functions\.auth\) of Books\/Write asks for callers that AUTH="iam" does not verify: expected AUTH="jwt"$/m,
  )
  t.notRegex(iam.text, /Books\/Read asks/)
  t.deepEqual(iam.closed, ['Write'])
  const none = withAuth('none')
  t.regex(none.text, /Books\/Read asks[\s\S]*Books\/Write asks/)
  t.deepEqual(none.closed, ['Read', 'Write'])
  const local = withAuth('')
  t.regex(local.text, /AUTH is not set: \(grpc_functions\.auth\) is not enforced for Books\/Read, Books\/Write/)
  t.deepEqual(local.closed, [])
})

test('opening a method that its proto does not allow is an error at start', async (t) => {
  const runtime = runtimeOf({...jwt, AUTH_ISSUERS: 'https://idp.example audience=a', AUTH_PUBLIC: 'Books Books/Read'})
  const {serve} = await import('../../src/http/serve.ts')
  const handler = gateway(runtime)
  const message =
    'AUTH_PUBLIC: "Books/Read" is closed by its option (grpc_functions.auth), and configuration cannot open it'
  t.throws(() => serve(handler, runtime), {instanceOf: ConfigError, message})
  t.false(doorOf(runtime).isOpen({name: 'Books/Read'}), 'nor does its service')
  t.true(doorOf(runtime).isOpen({name: 'Books/Other'}))
})

test('options that do not say who may call are errors at start, one line each', (t) => {
  const others = buildSchema({
    'books.proto': proto(`
    rpc Both(Name) returns (Name) { option (grpc_functions.auth) = {public: true, allow: "a=b"}; }
    rpc NoValue(Name) returns (Name) { option (grpc_functions.auth) = {allow: ["a=b", "hd="]}; }
    rpc NoClaim(Name) returns (Name) { option (grpc_functions.auth) = {allow: "=x"}; }
    rpc Words(Name) returns (Name) { option (grpc_functions.auth) = {allow: "a=b c=d"}; }
    rpc Good(Name) returns (Name) { option (google.api.http) = {get: "/good"}; }`),
  })
  t.teardown(() => others[Symbol.dispose]())
  const expected = 'expected "claim=value" or "claim=value|value"'
  t.is(
    refusal({GATEWAY_DESCRIPTORS: others.path}),
    [
      'Both: option (grpc_functions.auth): expected "public" or "allow", not both',
      `NoValue: option (grpc_functions.auth): allow: "hd=": ${expected}`,
      `NoClaim: option (grpc_functions.auth): allow: "=x": ${expected}`,
      `Words: option (grpc_functions.auth): allow: "a=b c=d": ${expected}`,
    ]
      .map((line) => `books.proto: Books.${line}`)
      .join('\n'),
  )
})

test('an option of another name with our number is an error at start', (t) => {
  const others = buildSchema(
    {
      'books.proto': `
        syntax = "proto3";
        import "google/api/annotations.proto";
        import "grpc_functions/options.proto";
        service Books {
          rpc Good(Name) returns (Name) { option (google.api.http) = {get: "/good"}; option (other) = "text"; }
        }
        message Name { string name = 1; }`,
    },
    {
      'grpc_functions/options.proto': `
        syntax = "proto3";
        import "google/protobuf/descriptor.proto";
        extend google.protobuf.MethodOptions { string other = 73951; }`,
    },
  )
  t.teardown(() => others[Symbol.dispose]())
  t.is(
    refusal({GATEWAY_DESCRIPTORS: others.path}),
    'Option (other) has the number 73951, which is taken by (grpc_functions.auth)',
  )
})

test('fields of a later version of the option are an error at start: they may close what we would open', (t) => {
  const later = buildSchema(
    {
      'books.proto': proto(
        'rpc Good(Name) returns (Name) { option (google.api.http) = {get: "/good"}; option (grpc_functions.auth) = {public: true, later: true}; }',
      ),
    },
    {
      'grpc_functions/options.proto': `
        syntax = "proto3";
        package grpc_functions;
        import "google/protobuf/descriptor.proto";
        message Auth { bool public = 1; repeated string allow = 2; bool later = 3; }
        extend google.protobuf.MethodOptions { Auth auth = 73951; }`,
    },
  )
  t.teardown(() => later[Symbol.dispose]())
  t.regex(
    refusal({GATEWAY_DESCRIPTORS: later.path}),
    /Books\.Good: option \(grpc_functions\.auth\): it has a field 3, which grpc_functions\/options\.proto of this version/,
  )
})

test('names in AUTH_PUBLIC and AUTH_ALLOW are checked without the gateway too, if clients know them', async (t) => {
  const {serve} = await import('../../src/http/serve.ts')
  const served = (env: Readonly<Record<string, string>>, ...services: DescService[]) => {
    const lines: string[] = []
    const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger
    const {GATEWAY_DESCRIPTORS: _, ...rest} = jwt
    const runtime = createRuntime(readConfig({...rest, AUTH_ISSUERS: 'https://idp.example audience=a', ...env}), {log})
    for (const one of services) createClient(runtime, one)
    try {
      serve(() => json({}), runtime)
    } catch (error) {
      lines.push((error as Error).message)
    }
    return lines.join('')
  }
  t.is(served({AUTH_PUBLIC: 'ping.PingService/Send /x', AUTH_ALLOW: 'ping.PingService hd=a'}, PingService), '')
  t.is(
    served({AUTH_PUBLIC: 'ping.PingService/Sent', AUTH_ALLOW: 'ping.PingService/SendUpstrem hd=a'}, PingService),
    'AUTH_PUBLIC: there is no method "ping.PingService/Sent": did you mean ping.PingService/Send?\nAUTH_ALLOW: there is no method "ping.PingService/SendUpstrem": did you mean ping.PingService/SendUpstream?',
  )
  t.regex(
    served({AUTH_PUBLIC: 'Boks/List', AUTH_ALLOW: 'ping.Ping hd=a'}, PingService),
    /AUTH_PUBLIC names Boks\/List, AUTH_ALLOW names ping\.Ping: no client of this function calls it, so nobody has checked/,
  )
})

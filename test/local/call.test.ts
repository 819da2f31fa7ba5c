import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import test, {type ExecutionContext} from 'ava'
import {requestsFor} from '../../local/cli/rest-request.ts'
import {exampleOf} from '../../local/dev/examples.ts'
import {readConfig} from '../../src/core/config.ts'
import {loadTranscoder} from '../../src/gateway/schema.ts'
import {buildSchema} from '../functions/gateway-schema.ts'
import {type Served, startServed} from '../functions/gateway-services.ts'
import {requestOf} from '../helpers/commands.ts'

let app: Served
test.before(async () => {
  app = await startServed()
})
test.after.always(() => app.close())

/** The result of a command. */
interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs `grpc-functions call` with the app's schema and tokens. */
function call(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const main = join(import.meta.dirname, '../../local/cli/main.ts')
  const child = spawn(process.execPath, [main, 'call', ...args], {
    env: {
      ...process.env,
      PORT: new URL(app.url('')).port,
      GATEWAY_DESCRIPTORS: app.schema.path,
      GATEWAY_DEFAULT_BINDINGS: 'true',
      GCE_METADATA_HOST: app.metadata.host,
      BACKEND_URL: app.backend.url,
      BACKEND_AUDIENCE: app.backend.url,
      ...env,
    },
  })
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([out, err, [code]]): Ended => ({code: code as number, out, err}),
  )
  return {child, ended}
}

async function ended(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended> {
  const {child, ended} = call(args, env)
  child.stdin.end()
  return await ended
}

const linesOf = (out: string) =>
  out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown)

test('the example requests are accepted, for any rule and types', async (t) => {
  const bindings = transcoder().bindings.filter(({method}) => method.parent.typeName.startsWith('served.'))
  t.true(bindings.length > 80)
  for (const binding of bindings) {
    const example = exampleOf(binding)
    const verb = /^-X (\w+) /.exec(example)?.[1] ?? (example.startsWith('-I ') ? 'HEAD' : undefined)
    const {path, init} = requestOf(
      `curl ${example.replace(/^-(X \w+|I) /, '').replace('{url}', 'http://localhost:8080')}`,
    )
    const answer = await fetch(app.url(path), {...init, ...(verb && {method: verb})})
    t.true(answer.ok, `${binding.rule}: curl ${example}: ${answer.status} ${await answer.text()}`)
  }
})

test('a message is sent by the first rule that fits it, and comes back unchanged', async (t) => {
  const method = app.schema.registry.getService('served.Echo')!.method
  const cases = [
    ['whole', 'POST', {name: 'n', int64Value: '9007199254740993', children: [{name: 'c'}]}],
    ['paths', 'GET', {name: 'a b/ü?', int32Value: 5, names: ['x', 'y'], child: {name: 'inner'}, color: 'RED'}],
    ['body', 'POST', {name: 'n', flag: true, time: '2030-01-01T00:00:00Z'}],
  ] as const
  for (const [name, verb, message] of cases) {
    const request = await requestsFor(method[name]!, app.schema.registry, each(JSON.stringify(message)))
    t.is(request.verb, verb)
    const body = request.body && (await Array.fromAsync(request.body)).join('')
    const answer = await fetch(app.url(request.path), {
      method: verb,
      ...(body !== undefined && {body, headers: {'content-type': 'application/json'}}),
    })
    t.deepEqual(await answer.json(), message as never, request.path)
  }
  await t.throwsAsync(requestsFor(method.paths!, app.schema.registry, each('{}')), {message: /"name" has no value/})
})

test('zero values are in the path, although JSON leaves them out', async (t) => {
  using schema = buildSchema({
    'zero.proto': `
      syntax = "proto3";
      package zero;
      import "google/api/annotations.proto";
      enum Color { NONE = 0; RED = 1; }
      message Point { int32 x = 1; int64 y = 2; bool flag = 3; Color color = 4; double d = 5; optional int32 maybe = 6; }
      service Points {
        rpc All(Point) returns (Point) { option (google.api.http) = {get: "/points/{x}/{y}/{flag}/{color}/{d}"}; }
        rpc Maybe(Point) returns (Point) { option (google.api.http) = {get: "/maybe/{maybe}"}; }
      }`,
  })
  const {all, maybe} = schema.registry.getService('zero.Points')!.method
  const pathFor = async (method: typeof all, text: string) =>
    (await requestsFor(method!, schema.registry, each(text))).path
  t.is(await pathFor(all, '{}'), '/points/0/0/false/NONE/0')
  t.is(await pathFor(all, '{"x": 0, "y": "7", "color": "RED"}'), '/points/0/7/false/RED/0')
  t.is(await pathFor(maybe, '{"maybe": 0}'), '/maybe/0')
  await t.throwsAsync(pathFor(maybe, '{}'), {message: /"maybe" has no value/})
})

async function* each(...texts: readonly string[]) {
  yield* texts
}

function transcoder() {
  const {gateway} = readConfig({GATEWAY_DEFAULT_BINDINGS: 'true'})
  return loadTranscoder(gateway, app.schema.registry).transcoder
}

for (const [way, more] of [
  ['through the functions', []],
  ['straight to the backend', ['--backend']],
] as const) {
  test(`all four kinds are called ${way}`, async (t) => {
    const one = await ended(['served.Plain/One', '-d', '{"name": "hi"}', ...more])
    t.deepEqual([one.code, linesOf(one.out)], [0, [{name: 'hi'}]], one.err)
    const down = await ended(['served.Streams/Down', '-d', '{"int32Value": 2, "name": "x"}', ...more])
    const counted = [
      {int32Value: 1, name: 'x'},
      {int32Value: 2, name: 'x'},
    ]
    t.deepEqual([down.code, linesOf(down.out)], [0, counted], down.err)
    const up = await ended([
      'served.Streams/Up',
      '-d',
      '[{"name": "a"}, {"name": "b"}]',
      '-d',
      '{"name": "c"}',
      ...more,
    ])
    t.deepEqual([up.code, linesOf(up.out)], [0, [{names: ['a', 'b', 'c']}]], up.err)
    await talks(t, more)
  })

  test(`an error ends with 64 plus its code, ${way}`, async (t) => {
    const missing = await ended(['served.Plain/One', '-d', '{"nam": 1}', ...more])
    t.is(missing.code, 64 + 3)
    t.regex(missing.err, /INVALID_ARGUMENT: .*"nam"/)
    const several = await ended(['served.Plain/One', '-d', '{} {}', ...more])
    t.deepEqual([several.code, several.err], [2, 'served.Plain/One takes one message, and there are 2\n'])
    const nobody = await ended(['served.Plain/Two', '--json', ...more])
    t.is(nobody.code, 2)
    t.regex(JSON.parse(nobody.out).error.message, /has no method "Two": it has One, Both/)
  })
}

/** A conversation: the second message is sent after the answer to the first one. */
async function talks(t: ExecutionContext, more: readonly string[]): Promise<void> {
  const {child, ended} = call(['served.Plain/Both', '-d', '-', ...more])
  child.stdin.write('{"name": "first"}\n')
  const [answer] = (await once(child.stdout, 'data')) as [Buffer]
  t.deepEqual(JSON.parse(answer.toString()), {name: 'first'})
  child.stdin.end('{"name": "second"}\n')
  const {code, out, err} = await ended
  t.is(code, 0, err)
  t.regex(out, /second/)
}

test('a path is requested unchanged, with headers, and -v prints the exchange', async (t) => {
  const got = await ended(['/whole?name=n', '-H', 'x-request-id: from-the-test', '-v'])
  t.deepEqual(linesOf(got.out), [{name: 'n'}])
  t.regex(got.err, /^> GET .*\/whole\?name=n$/m)
  t.regex(got.err, /^< 200 OK$/m)
  t.regex(got.err, /^< x-request-id: from-the-test$/m)
  t.is((await ended(['/nowhere'])).code, 64 + 5)
  t.is((await ended(['/whole', '-H', 'no header'])).code, 2)
})

test('--json prints one value, with status, headers and messages', async (t) => {
  const {out} = await ended(['served.Streams/Down', '-d', '{"int32Value": 1}', '--backend', '--json'])
  const {status, headers, messages} = JSON.parse(out)
  t.deepEqual([status, messages], ['OK', [{int32Value: 1}]])
  t.regex(headers['content-type'], /^application\/grpc/)
})

test('the schema can come from reflection', async (t) => {
  const {code, out, err} = await ended(
    ['served.Plain/One', '-d', '{"name": "hi"}', '--backend', '--schema', 'reflection'],
    {GATEWAY_DESCRIPTORS: ''},
  )
  t.deepEqual([code, linesOf(out)], [0, [{name: 'hi'}]], err)
})

test('a backend that requires a token is an error with a command; so is a closed port, with what to start', async (t) => {
  const refused = await ended(['served.Plain/One', '--backend', app.backend.url, '--audience', 'none'])
  t.is(refused.code, 64 + 14)
  t.regex(refused.err, /npx grpc-functions doctor http\S+ says more/)
  const nobody = await ended(['/x', '--url', 'http://localhost:1'])
  t.is(nobody.code, 64 + 14)
  t.regex(nobody.err, /npm start serves the functions there/)
})

test.serial('a deadline ends a call that does not end', async (t) => {
  using _ = app.plain.handle({one: () => new Promise(() => {})})
  const late = await ended(['served.Plain/One', '--backend', '--timeout', '1'])
  t.is(late.code, 64 + 4)
})

import {execFile} from 'node:child_process'
import {join} from 'node:path'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {buildSchema, type Schema} from '../functions/gateway-schema.ts'

const root = join(import.meta.dirname, '../..')
let schema: Schema
test.before(() => {
  schema = buildSchema({
    'conflict.proto': `
syntax = "proto3";
package conflict;
import "google/api/annotations.proto";
service Service {
  rpc First(Message) returns (Message) { option (google.api.http) = {get: "/v1/{x}"}; }
  rpc Second(Message) returns (Message) { option (google.api.http) = {get: "/v1/{y}"}; }
  rpc Third(Message) returns (Message);
}
message Message { string x = 1; string y = 2; }
`,
  })
})
test.after.always(() => schema?.[Symbol.dispose]())

/** Runs `grpc-functions` in this repository; returns its exit code and its output. */
async function grpcFunctions(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return await new Promise<{code: number; out: string; err: string}>((resolve) => {
    const command = [join(root, 'local/cli/main.ts'), ...args]
    execFile(process.execPath, command, {cwd: root, env: {...process.env, ...env}}, (error, out, err) =>
      resolve({code: Number(error?.code ?? 0), out, err}),
    )
  })
}

test('routes prints functions and routes, with a request for each', async (t) => {
  const {code, out} = await grpcFunctions(['routes', '--json'])
  t.is(code, 0)
  const {functions, routes, problems} = JSON.parse(out)
  t.true(functions.includes('upload'))
  t.deepEqual(problems, [])
  t.deepEqual(routes[0], {
    http: 'GET',
    path: '/api/ping',
    method: 'ping.PingService/Send',
    kind: 'unary',
    example: "curl '{url}/api/ping?message=Ada'",
  })
})

test('routes says what is not served and why, by the environment', async (t) => {
  const {code, out} = await grpcFunctions(['routes'], {GATEWAY_SERVICES: 'Repo'})
  t.is(code, 0)
  t.regex(out, /^POST +\/api\/repos +Repo\/CreateRepo +takes a stream$/m)
  t.regex(out, /^Not served:\n {2}ping\.PingService {2}it is not in GATEWAY_SERVICES$/m)
})

test('routes exits with 1 for a conflict, and names both sides', async (t) => {
  const env = {GATEWAY_DESCRIPTORS: schema.path}
  const {code, out} = await grpcFunctions(['routes'], env)
  t.is(code, 1)
  t.regex(out, /^GET +\/v1\/\{x\} +conflict\.Service\/First$/m)
  t.regex(out, /conflict\.Service\/Third +it has no google\.api\.http rule/)
  t.regex(out, /Second: get: "\/v1\/\{y\}": takes the same requests as get: "\/v1\/\{x\}" of .*First/)
  t.is((await grpcFunctions(['routes'], {...env, GATEWAY_UNSERVABLE: 'warn'})).code, 0)
})

test('a command reports errors of the environment and of the command line', async (t) => {
  const unknown = await grpcFunctions(['routes', '--json'], {GATEWAY_SERVICE: 'Repo'})
  t.is(unknown.code, 1)
  t.regex(JSON.parse(unknown.out).error.message, /did you mean GATEWAY_SERVICES\?/)
  t.is((await grpcFunctions(['openapi', '--format', 'toml'])).code, 2)
  t.is((await grpcFunctions(['route'])).code, 2)
  const help = await grpcFunctions(['call', '--help'])
  t.is(help.code, 0)
  t.regex(help.out, /Exit code: 64 and the gRPC code/)
})

test('routes fetches the schema from the backends if GATEWAY_SCHEMA says so, and says why there is none', async (t) => {
  const backend = await startBackend()
  t.teardown(() => backend.close())
  const env = {GATEWAY_SCHEMA: 'reflection', BACKEND_AUDIENCE: 'none'}
  const {code, out, err} = await grpcFunctions(['routes'], {...env, BACKEND_URL: backend.url})
  t.is(code, 0, err)
  t.regex(out, /^GET +\/api\/ping +ping\.PingService\/Send$/m)
  const nobody = await grpcFunctions(['routes'], {...env, BACKEND_URL: 'http://localhost:1'})
  t.is(nobody.code, 1)
  t.regex(nobody.err, /nothing listens at its host and port/)
})

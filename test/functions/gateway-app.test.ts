import {once} from 'node:events'
import {createServer} from 'node:http2'
import type {AddressInfo} from 'node:net'
import test from 'ava'
import {type Served, startServed} from './gateway-services.ts'

const proto = `syntax = "proto3";
package posted;
import "every/every.proto";
import "google/api/annotations.proto";
service Posted {
  rpc One(every.Every) returns (every.Every) { 
    option (google.api.http) = {
      get: "/{name}"
      additional_bindings {post: "/{name}" body: "*"}
      additional_bindings {get: "/health/{name}"}
      additional_bindings {post: "/upload:now" body: "*"}
    };
  }
}
`

/** A front end that answers instead of the backend, by headers alone if the caller says so. */
const front = createServer(({stream, headers}, response) => {
  const head = {'x-front': 'secret'}
  if (headers['x-short']) stream.respond({':status': 403, ...head}, {endStream: true})
  else response.writeHead(403, head).end()
})

let app: Served
test.before(async () => {
  await once(front.listen(0, '127.0.0.1'), 'listening')
  const env = {BACKEND_URL_OLDER: `http://127.0.0.1:${(front.address() as AddressInfo).port}`}
  app = await startServed({target: 'app', env, protos: {'posted.proto': proto}, echoes: ['posted.Posted']})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  front.close()
})

test.serial('headers of a front end that answers instead of a backend are not metadata of the backend', async (t) => {
  const {status, headers} = await app.send('GET /old/a')
  t.is(status, 502)
  t.deepEqual(
    [...headers.keys()].filter((name) => name.startsWith('grpc-')),
    [],
  )
})

test.serial('neither are they for callers by Connect and gRPC-Web', async (t) => {
  for (const [type, body] of [
    ['application/json', '{"id": "a"}'],
    ['application/grpc-web+proto', '\0\0\0\0\x03\x0a\x01a'],
  ] as const) {
    for (const short of [{}, {'x-short': 'true'}] as Record<string, string>[]) {
      const headers = {'content-type': type, 'connect-protocol-version': '1', ...short}
      const answered = await app.send('POST /served.Older/Old', {headers, body})
      const received = JSON.stringify([...answered.headers, answered.text])
      t.false(received.includes('secret'), received)
      t.regex(received, /turned%20this%20function%20away|turned this function away/)
    }
  }
})

test.serial('app serves the methods of GATEWAY_DESCRIPTORS, in addition to its own functions', async (t) => {
  t.deepEqual((await app.send('GET /whole?name=a')).json, {name: 'a'})
  t.is((await app.send('GET /ping?message=hi')).json.pong.message, 'hi')
  t.is((await app.send('GET /api/ping?message=hi')).status, 404)
})

test.serial(
  'a path of a function is not served by a rule with a wildcard, which serves all the other paths',
  async (t) => {
    t.deepEqual((await app.send('GET /healthy')).json, {name: 'healthy'})
    t.deepEqual((await app.send('GET /health/a')).json, {name: 'a'})
    t.deepEqual((await app.send('POST /upload:now', {body: '{"name":"a"}'})).json, {name: 'a'})
    for (const path of ['/health', '/%68ealth']) t.truthy((await app.send(`GET ${path}`)).json.backends, path)
    t.is((await app.send('POST /health', {body: '{}'})).headers.get('allow'), 'GET, HEAD, OPTIONS')
  },
)

test.serial(
  'GET /openapi.json describes everything, and a rule with a wildcard has the other methods of this path',
  async (t) => {
    for (const path of ['/openapi.json', '/openapi%2ejson']) {
      const {status, json} = await app.send(`GET ${path}`)
      t.is(status, 200)
      t.truthy(json.paths['/{name}'].post)
      t.is((await app.send(`HEAD ${path}`)).status, 200)
      t.deepEqual((await app.send(`POST ${path}`, {body: '{}'})).json, {name: 'openapi.json'})
    }
    for (const [method, status] of [
      ['OPTIONS', 204],
      ['PUT', 405],
    ] as const) {
      const answer = await app.send(`${method} /openapi.json`)
      t.is(answer.status, status)
      t.is(answer.headers.get('allow'), 'GET, HEAD, OPTIONS, POST')
    }
  },
)

import {PassThrough} from 'node:stream'
import test from 'ava'
import {pino} from 'pino'
import {routingProto} from './gateway-schema.ts'
import {startServed} from './gateway-services.ts'

const proto = `syntax = "proto3";
package odd;
import "google/api/annotations.proto";
import "routing.proto";
message Name { string name = 1; repeated string names = 2; }
message Hidden { Hidden has_own_property = 1; }
service Odd {
  rpc Good(Name) returns (Name) { option (google.api.http) = {get: "/odd/good/{name}"}; }
  rpc Partly(Name) returns (Name) {
    option (google.api.http) = {get: "/odd/partly/{names}" additional_bindings {get: "/odd/partly"}};
  }
  rpc Repeated(Name) returns (Name) { option (google.api.http) = {get: "/odd/{names}"}; }
  rpc Again(Name) returns (Name) { option (google.api.http) = {get: "/odd/good/{name=*}"}; }
  rpc Own(Name) returns (Name) { option (google.api.http) = {get: "/openapi.json"}; }
  rpc Verb(Name) returns (Name) { option (google.api.http) = {custom: {kind: "FETCH" path: "/odd/verb"}}; }
  rpc Misrouted(Name) returns (Name) {
    option (google.api.http) = {get: "/odd/misrouted" additional_bindings {get: "/odd/rerouted"}};
    option (google.api.routing) = {routing_parameters {field: "nam"}};
  }
  rpc RoutedByList(Name) returns (Name) {
    option (google.api.http) = {get: "/odd/by-list"};
    option (google.api.routing) = {routing_parameters {field: "names"}};
  }
  rpc RoutedByTwo(Name) returns (Name) {
    option (google.api.http) = {get: "/odd/by-two"};
    option (google.api.routing) = {routing_parameters {field: "name" path_template: "{a=*}/{b=*}"}};
  }
  // Without a rule it is not served.
  rpc Ruleless(Name) returns (Name) { option (google.api.routing) = {routing_parameters {field: "nam"}}; }
  rpc Unreadable(Hidden) returns (Name) { option (google.api.http) = {get: "/odd/hidden"}; }
}
`

test('GATEWAY_UNSERVABLE=warn serves the other rules, and says which are left out and why', async (t) => {
  const written = new PassThrough()
  const log = pino({messageKey: 'message'}, written)
  const app = await startServed({
    env: {GATEWAY_UNSERVABLE: 'warn', GATEWAY_DEFAULT_BINDINGS: 'false'},
    protos: {'odd.proto': proto, 'routing.proto': routingProto},
    echoes: ['odd.Odd'],
    log,
  })
  t.teardown(() => app.close())
  t.is((await app.send('GET /odd/good/a')).json.name, 'a')
  t.is((await app.send('GET /odd/partly?name=b')).json.name, 'b')
  for (const path of ['/odd/x', '/odd/verb', '/odd/hidden', '/odd/partly/x', '/odd/misrouted', '/odd/by-two']) {
    t.is((await app.send(`GET ${path}`)).status, 404, path)
  }
  const {paths} = (await app.send('GET /openapi.json')).json
  t.deepEqual(
    Object.keys(paths).filter((path) => path.startsWith('/odd')),
    ['/odd/good/{name}', '/odd/partly'],
  )
  // A value of this type is refused inside another message too.
  const any = {any: {'@type': 'type.googleapis.com/odd.Hidden', hasOwnProperty: {}}}
  t.is(
    (
      await app.send('POST /whole', {
        headers: {'content-type': 'application/json'},
        body: JSON.stringify(any),
      })
    ).status,
    400,
  )
  const records = String(written.read())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const left = records
    .filter(({level, message}) => level === 40 && message.startsWith('Left out'))
    .map(({message}) => message as string)
  t.deepEqual(
    left,
    [
      'odd.proto: odd.Odd/Partly: get: "/odd/partly/{names}": "{names}" is a repeated field: expected a scalar, an enum or a type whose JSON is a string',
      'odd.proto: odd.Odd/Repeated: get: "/odd/{names}": "{names}" is a repeated field: expected a scalar, an enum or a type whose JSON is a string',
      'odd.proto: odd.Odd/Again: get: "/odd/good/{name=*}": takes the same requests as get: "/odd/good/{name}" of odd.proto: odd.Odd/Good',
      'odd.proto: odd.Odd/Own: get: "/openapi.json": "/openapi.json" is a path of the functions themselves: expected another one',
      'odd.proto: odd.Odd/Verb: custom: {kind: "FETCH", path: "/odd/verb"}: no request can have the method FETCH: expected one that Node\'s HTTP server supports',
      'odd.proto: odd.Odd/Misrouted: google.api.routing: "nam": odd.Name has no field "nam"',
      'odd.proto: odd.Odd/RoutedByList: google.api.routing: "names" is no string',
      'odd.proto: odd.Odd/RoutedByTwo: google.api.routing: "{a=*}/{b=*}": expected one variable',
      'odd.proto: odd.Odd/Unreadable: odd.proto: odd.Hidden.has_own_property: "hasOwnProperty" is a property of every JavaScript object',
    ].map((problem) => `Left out, as GATEWAY_UNSERVABLE is "warn": ${problem}`),
  )
  const served = records.find(({message}) => message.startsWith('Served: '))!.message as string
  t.true(served.includes('odd.Odd/Good, odd.Odd/Partly'), served)
  t.true(
    served.endsWith(
      'odd.Odd/Repeated, odd.Odd/Again, odd.Odd/Own, odd.Odd/Verb, odd.Odd/Misrouted, odd.Odd/RoutedByList, odd.Odd/RoutedByTwo, odd.Odd/Unreadable (its rules cannot be served, and GATEWAY_UNSERVABLE is "warn")',
    ),
    served,
  )
})

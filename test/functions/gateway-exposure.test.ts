import test from 'ava'
import {exposure, leftOut} from '../../src/gateway/exposure.ts'
import {startChild} from '../http/child.ts'
import {buildSchema} from './gateway-schema.ts'

const google = `syntax = "proto3";
package google.longrunning;
import "google/api/annotations.proto";
service Operations {
  rpc Get(Name) returns (Name) { option (google.api.http) = {get: "/v1/{name=operations/**}"}; }
}
message Name { string name = 1; }
message Operation {}
`

const acme = `syntax = "proto3";
package acme;
import "google/api/annotations.proto";
import "operations.proto";
service Shop {
  rpc Get(Name) returns (Name) { option (google.api.http) = {get: "/shop/{name}"}; }
  rpc Audit(Name) returns (google.longrunning.Operation);
}
message Name { string name = 1; }
service Inside {
  rpc Drop(Name) returns (Name);
  rpc Purge(Name) returns (Name);
}
`

/** 503 means that the method is served, but its backend is not available. */
const paths = ['GET /shop/a', 'POST /acme.Shop/Audit', 'POST /acme.Inside/Drop', 'GET /v1/operations/a']

for (const [env, statuses, line] of [
  [
    {},
    [503, 404, 404, 404],
    'Served: acme.Shop/Get. Not served: acme.Shop/Audit, acme.Inside (no google.api.http rule, and neither GATEWAY_SERVICES, GATEWAY_RULES nor GATEWAY_DEFAULT_BINDINGS asks for it); google.longrunning.Operations (only imported, and neither GATEWAY_SERVICES, GATEWAY_RULES nor GATEWAY_DEFAULT_BINDINGS asks for it)',
  ],
  [
    {GATEWAY_SERVICES: 'acme.Inside, google.longrunning.Operations'},
    [404, 404, 503, 503],
    'Served: acme.Inside, google.longrunning.Operations. Not served: acme.Shop (not in GATEWAY_SERVICES)',
  ],
  [
    {GATEWAY_DEFAULT_BINDINGS: 'true'},
    [503, 503, 503, 503],
    'Served: acme.Shop, acme.Inside, google.longrunning.Operations. Not served: nothing',
  ],
] as const) {
  test(`the configured methods are served, and one line at start lists all: ${JSON.stringify(env)}`, async (t) => {
    using schema = buildSchema({'operations.proto': google, 'acme.proto': acme})
    const backend = {BACKEND_URL: 'http://127.0.0.1:1', PATH: process.env.PATH ?? ''}
    await using child = await startChild('gateway', {...backend, GATEWAY_DESCRIPTORS: schema.path, ...env})
    t.is(JSON.parse(await child.out.match(/Served: /)).message, line)
    const answers = paths.map(async (path) => {
      const [method = '', url] = path.split(' ')
      return (await fetch(`${child.url}${url}`, {method})).status
    })
    t.deepEqual(await Promise.all(answers), statuses)
  })
}

test('a line at start names at most 200 services, and at most 200 rules have a line', (t) => {
  const many = (count: number, of: (index: number) => string) => Array.from({length: count}, (_, index) => of(index))
  const unservedBy = (count: number) =>
    many(count, (index) => `acme.Service${index}/Get`).map((name) => ({name, why: 'not named'}) as const)
  const all = exposure({bindings: [], unserved: unservedBy(200)})
  t.true(all.endsWith('acme.Service199 (not in GATEWAY_SERVICES)'), all.slice(-100))
  const some = exposure({bindings: [], unserved: unservedBy(300)})
  t.true(some.endsWith('acme.Service199 and 100 more (not in GATEWAY_SERVICES)'), some.slice(-100))
  t.is(leftOut(many(200, String)).length, 200)
  const lines = leftOut(many(300, String))
  t.deepEqual(
    [lines.length, lines.at(-2), lines.at(-1)],
    [201, 'Left out, as GATEWAY_UNSERVABLE is "warn": 199', 'Left out: 100 more'],
  )
})

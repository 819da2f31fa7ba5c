import test from 'ava'
import {startStack} from '../../local/stack.ts'
import {type Child, startChild} from '../http/child.ts'
import {exchange, open} from './gateway-client.ts'
import {buildSchema, type Schema} from './gateway-schema.ts'

let schema: Schema
let stack: Awaited<ReturnType<typeof startStack>>
let instance: Child

test.before(async () => {
  schema = buildSchema({
    'trees.proto': `
      syntax = "proto3";
      package trees;
      import "google/api/annotations.proto";
      message Tree {
        repeated Tree many = 1;
        repeated string names = 2;
        map<string, string> labels = 3;
        string id = 4;
        ${Array.from({length: 12}, (_, index) => `repeated string list${index} = ${index + 5};`).join('\n')}
      }
      service Trees {
        rpc Grow(Tree) returns (Tree) {option (google.api.http) = {post: "/trees" body: "*"};}
        rpc GrowMany(stream Tree) returns (Tree) {option (google.api.http) = {post: "/trees:many" body: "*"};}
      }`,
  })
  stack = await startStack()
  instance = await startChild('app', {
    ...stack.env,
    LOG_LEVEL: 'silent',
    GATEWAY_DESCRIPTORS: schema.path,
    // The heap that V8 chooses in an instance of 256 MiB.
    NODE_OPTIONS: '--max-old-space-size=128 --max-semi-space-size=1',
  })
})
test.after.always(async () => {
  await instance?.[Symbol.asyncDispose]()
  await stack?.[Symbol.asyncDispose]()
  schema?.[Symbol.dispose]()
})

const headers = {'content-type': 'application/json'}

function trees(count: number): string {
  return `{"many":[${'{},'.repeat(count - 1)}{}]}`
}

/** The statuses of `count` concurrent requests with `body`. The backend does not have this method. */
async function grow(count: number, body: string): Promise<Set<number>> {
  const send = () => exchange(instance.url, {method: 'POST', path: '/trees', headers, body})
  return new Set((await Promise.all(Array.from({length: count}, send))).map(({status}) => status))
}

test.serial(
  'an instance of 256 MiB survives bodies of 1 MiB with 350,000 messages, and all its requests in flight',
  async (t) => {
    await using inFlight = await open(instance.url, {method: 'POST', path: '/ping', headers})
    inFlight.write('{"message":')
    t.deepEqual(await grow(1, trees(349_500)), new Set([400]))
    const statuses = await grow(10, trees(349_500))
    t.true(statuses.isSubsetOf(new Set([400, 429])), [...statuses].join())
    inFlight.write('"still here"}')
    inFlight.end()
    t.is((await inFlight.response()).json.pong.message, 'still here')
  },
)

test.serial('an instance of 256 MiB survives many bodies with the maximum number of messages', async (t) => {
  for (let round = 0; round < 3; round++) t.deepEqual(await grow(20, trees(9_990)), new Set([501]))
})

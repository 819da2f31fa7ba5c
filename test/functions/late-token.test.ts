import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {startStack} from '../../local/stack.ts'
import {startChild} from '../http/child.ts'
import {servedSchema} from './gateway-schema.ts'

const stack = await startStack()
await stack.storage!.put('samples', 'hello.txt', 'Hello')
stack.metadata!.hang()
const ping = readFileSync(join(import.meta.dirname, '../../proto/ping/ping.proto'), 'utf8')
const schema = servedSchema({'ping.proto': ping})
const child = await startChild('app', {...stack.env, GATEWAY_DESCRIPTORS: schema.path})
const upload = {bucket: 'samples', object: 'hello.txt', context: {creatorId: 'me', name: 'hello'}}

test.after.always(async () => {
  await child[Symbol.asyncDispose]()
  await stack.close()
  schema[Symbol.dispose]()
})

for (const [title, path, body] of [
  ['ping', '/ping?message=hi', undefined],
  ['a unary method of the gateway', '/api/ping?message=hi', undefined],
  ['a server stream of the gateway', '/down?int32Value=3', undefined],
  ['a client stream of the gateway', '/up', '{"name": "Ada", "int32Value": 36}'],
  ['upload', '/upload', JSON.stringify(upload)],
] as const) {
  test(`${title}: the error for a cold request names an ID token that is late`, async (t) => {
    const ask = async (timeout: number) => {
      const answer = await fetch(`${child.url}${path}`, {
        method: body ? 'POST' : 'GET',
        headers: {
          'content-type': 'application/json',
          'grpc-timeout': `${timeout}m`,
          'x-request-id': `${title.replaceAll(' ', '-')}-${timeout}`,
        },
        ...(body && {body}),
      })
      const {error} = (await answer.json()) as {error: {message: string; details: {reason: string}[]}}
      return {answer, error}
    }
    let timeout = 300
    let {answer, error} = await ask(timeout)
    // On a busy machine the deadline may pass before the token is requested.
    while (error.message.startsWith('No answer within') && timeout < 60_000) {
      timeout *= 2
      ;({answer, error} = await ask(timeout))
    }
    t.is(answer.status, 504)
    t.is(error.message, 'No ID token for the backend in time')
    t.is(error.details[0]?.reason, 'ID_TOKEN_UNAVAILABLE')
    const id = answer.headers.get('x-request-id')
    const record = JSON.parse(await child.out.match(new RegExp(`^(?=.*httpRequest).*"${id}"`)))
    t.is(record.code, 'DEADLINE_EXCEEDED')
    t.true(record.message.endsWith(`(the audience is "${stack.backend!.url}")`), record.message)
  })
}

import test from 'ava'
import {type Local, startLocal} from 'grpc-functions-dev/local'

let local: Local

test.before(async () => {
  local = await startLocal()
})
test.after.always(() => local?.close())

test('a method of proto/ is served by its rule', async (t) => {
  const response = await fetch(`${local.url}/v1/greetings/Ada`)
  t.deepEqual(await response.json(), {message: 'Hello Ada'})
})

test('greet greets all of its names', async (t) => {
  const response = await fetch(`${local.url}/greet?names=Ada,Alan`)
  t.deepEqual(await response.json(), {greetings: ['Hello Ada', 'Hello Alan']})
})

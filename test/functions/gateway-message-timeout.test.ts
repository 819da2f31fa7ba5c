import test from 'ava'
import {type Any, type Served, silence, startServed} from './gateway-services.ts'

let app: Served
test.before(async () => {
  app = await startServed({env: {GATEWAY_MESSAGE_TIMEOUT_SECONDS: '0.2'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('a server stream without a message is 504 after GATEWAY_MESSAGE_TIMEOUT_SECONDS', async (t) => {
  using _ = app.streams.handle({
    async *down(_request, context) {
      await silence(context)
      yield {}
    },
  })
  const seen = app.streams.next()
  const {status, json} = await app.send('GET /down')
  t.is(status, 504)
  t.like(json.error, {status: 'DEADLINE_EXCEEDED', message: 'served.Streams/Down sent no message for 0.2 s'})
  t.is(json.error.details[0].reason, 'MESSAGE_TIMEOUT')
  await (await seen).cancelled
})

test.serial('a stream that falls silent is cut, with the error as its last line', async (t) => {
  using _ = app.streams.handle({
    async *down(_request, context) {
      yield {name: 'a'}
      await silence(context)
    },
  })
  let response = await app.send('GET /down')
  // On a busy machine the first message may take longer than the timeout.
  while (response.status === 504) response = await app.send('GET /down')
  t.is(response.status, 200)
  t.false(response.whole)
  const [first = '', last = ''] = response.text.split('\n')
  t.deepEqual(JSON.parse(first), {name: 'a'})
  t.is(JSON.parse(last).error.status, 'DEADLINE_EXCEEDED')
})

test.serial("a bidirectional stream may be silent for longer: it may be the caller's turn", async (t) => {
  const turn = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    async *both(requests: AsyncIterable<Any>) {
      await turn.promise
      yield* requests
    },
    async *down(_request, context) {
      await silence(context)
      yield {}
    },
  })
  const begun = app.streams.next()
  await using chat = await app.begin('POST /both')
  chat.write('{"name": "a"}')
  await begun
  t.is((await app.send('GET /down')).status, 504)
  turn.resolve()
  chat.end()
  const response = await chat.response()
  t.true(response.whole)
  t.deepEqual(JSON.parse(response.text), {name: 'a'})
})

import test from 'ava'
import {freeze, thaw} from '../../local/faults/freeze.ts'
import {startStack} from '../../local/stack.ts'
import {startChild, startFixture} from './child.ts'
import {connectTo} from './connection.ts'

/** A request that stays in flight until its last two bytes are sent. */
const half = 'POST /whole HTTP/1.1\nHost: localhost\nContent-Length: 4\n\nab'

for (const k of [1, 5]) {
  test(`SIGTERM with ${k} in flight: no new ones are taken, all are answered, channels are closed, exit 0`, async (t) => {
    await using stack = await startStack()
    await using child = await startChild('ping', stack.env)
    const held = Array.from({length: k}, () => stack.backend!.ping.next())
    const answers = held.map((_, i) => fetch(`${child.url}/?message=${i}`))
    const calls = await Promise.all(held)
    child.signal('SIGTERM')
    await child.out.match(new RegExp(`Stopping: SIGTERM, ${k} in flight`))
    await t.throwsAsync(connectTo(child.url), {code: 'ECONNREFUSED'})
    for (const call of calls) call.answer()
    for (const [i, response] of (await Promise.all(answers)).entries()) {
      t.is(response.status, 200)
      t.is(((await response.json()) as {pong: {message: string}}).pong.message, String(i))
      t.is(response.headers.get('connection'), 'close')
    }
    t.is(await child.exited, 0)
    t.deepEqual(child.err.all, [])
    while (stack.backend!.connections() > 0) await new Promise(setImmediate)
  })
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends an instance that has had no request, with 0`, async (t) => {
    await using child = await startFixture()
    child.signal(signal)
    t.is(await child.exited, 0)
    t.true(child.err.all.includes('closing'))
  })

  test(`${signal} ends an idle instance, with the connections that it keeps alive`, async (t) => {
    await using child = await startFixture()
    await using connection = await connectTo(child.url)
    connection.get('/well')
    t.is((await connection.response()).headers.get('connection'), 'keep-alive')
    child.signal(signal)
    t.is(await connection.closed, undefined)
    t.is(await child.exited, 0)
  })
}

test('SIGTERM closes an idle connection at once, and a connection in flight with its answer', async (t) => {
  await using child = await startFixture()
  await using idle = await connectTo(child.url)
  idle.get('/well')
  await idle.response()
  await using busy = await connectTo(child.url)
  busy.send(half)
  await child.err.match(/called/)
  child.signal('SIGTERM')
  t.is(await idle.closed, undefined)
  busy.send('cd')
  const {text, headers} = await busy.response()
  t.deepEqual([text, headers.get('connection')], ['abcd', 'close'])
  t.is(await busy.closed, undefined)
  t.is(await child.exited, 0)
})

test('requests that an instance had not yet accepted at SIGTERM are answered', async (t) => {
  await using child = await startFixture()
  await using warm = await connectTo(child.url)
  warm.get('/well')
  t.is((await warm.response()).status, 200)
  // The kernel accepts connections and bytes for an instance that does nothing, because it is frozen or busy.
  await freeze(child)
  const connections = await Promise.all(Array.from({length: 40}, () => connectTo(child.url)))
  for (const connection of connections) connection.get('/well')
  warm.get('/well')
  child.signal('SIGTERM')
  await thaw(child)
  for (const connection of [...connections, warm]) t.is((await connection.response()).status, 200)
  await Promise.all([...connections, warm].map(({closed}) => closed))
  t.is(await child.exited, 0)
})

test('shared resources are closed after the last answer, and not before', async (t) => {
  await using child = await startFixture()
  await using connection = await connectTo(child.url)
  connection.send(half)
  await child.err.match(/called/)
  child.signal('SIGTERM')
  await child.err.match(/own listener/)
  await child.out.match(/Stopping/)
  t.false(child.err.all.includes('closing'))
  connection.send('cd')
  t.is((await connection.response()).text, 'abcd')
  t.is(await child.exited, 0)
  t.true(child.err.all.includes('closing'))
})

test('a second SIGTERM does no harm', async (t) => {
  await using child = await startFixture()
  await using connection = await connectTo(child.url)
  connection.send(half)
  await child.err.match(/called/)
  child.signal('SIGTERM')
  await child.err.match(/own listener/, 1)
  child.signal('SIGTERM')
  await child.err.match(/own listener/, 2)
  connection.send('cd')
  t.is((await connection.response()).status, 200)
  t.is(await child.exited, 0)
  t.deepEqual(
    child.out.all.filter((line) => line.includes('Stopping')).map((line) => JSON.parse(line).message),
    ['Stopping: SIGTERM, 1 in flight'],
  )
})

test('a started stream is sent to its end, and the next request on its connection is answered with 503', async (t) => {
  await using child = await startFixture()
  await using connection = await connectTo(child.url)
  connection.send('POST /echo HTTP/1.1\nHost: localhost\nContent-Length: 4\n\n<1>')
  await connection.until(/<1>/)
  await using other = await connectTo(child.url)
  other.send(half)
  await child.err.match(/called/)
  child.signal('SIGTERM')
  await child.out.match(/Stopping/)
  connection.send('!')
  const streamed = await connection.response()
  t.deepEqual([streamed.text, streamed.whole], ['<1>!', true])
  connection.get('/well')
  const {status, json, headers} = await connection.response()
  t.is(status, 503)
  t.is(json.error.status, 'UNAVAILABLE')
  t.is(headers.get('connection'), 'close')
  t.is(await connection.closed, undefined)
  other.send('cd')
  t.is((await other.response()).status, 200)
  t.is(await child.exited, 0)
})

test('a caller that hangs up is not awaited', async (t) => {
  await using child = await startFixture()
  await using connection = await connectTo(child.url)
  connection.get('/never')
  await child.err.match(/called/)
  child.signal('SIGTERM')
  await child.out.match(/Stopping/)
  connection.socket.destroy()
  await child.out.match(/The caller hung up/)
  t.is(await child.exited, 0)
})

test('a request that never ends is answered with 503 before the instance is killed, and the exit code is 0', async (t) => {
  await using child = await startFixture()
  await using never = await connectTo(child.url)
  never.get('/never')
  await using streaming = await connectTo(child.url)
  streaming.send('POST /echo HTTP/1.1\nHost: localhost\nContent-Length: 4\n\n<1>')
  await streaming.until(/<1>/)
  await child.err.match(/called/)
  child.signal('SIGTERM')
  const {status, json, whole} = await never.response()
  t.deepEqual([status, json.error.status, whole], [503, 'UNAVAILABLE', true])
  t.false((await streaming.response()).whole)
  t.is(await child.exited, 0)
})

for (const close of ['never', 'throws']) {
  test(`an instance ends with 0 if closing shared resources ${close === 'never' ? 'never ends' : close}`, async (t) => {
    await using child = await startFixture({CLOSE: close})
    child.signal('SIGTERM')
    t.is(await child.exited, 0)
  })
}

test('after an uncaught exception outside of requests, those in flight are answered; the exit code is 16', async (t) => {
  await using child = await startFixture()
  await using connection = await connectTo(child.url)
  connection.send(half)
  await child.err.match(/called/)
  child.signal('SIGUSR2')
  const record = JSON.parse(await child.out.match(/Uncaught exception/))
  t.is(record.severity, 'CRITICAL')
  t.regex(record.err.stack, /outside of any request\n\s+at /)
  await child.out.match(/Stopping/)
  await t.throwsAsync(connectTo(child.url), {code: 'ECONNREFUSED'})
  connection.send('cd')
  t.is((await connection.response()).text, 'abcd')
  t.is(await child.exited, 16)
  t.deepEqual(child.err.all, ['called', 'closing'])
})

test('an exception in a request ends neither the instance nor the answers of others', async (t) => {
  await using child = await startFixture()
  await using connection = await connectTo(child.url)
  connection.send(half)
  await child.err.match(/called/)
  const thrown = await fetch(`${child.url}/throws-in-a-timer`)
  t.is(thrown.status, 500)
  t.is(((await thrown.json()) as {error: {message: string}}).error.message, 'Internal error')
  t.is((await fetch(`${child.url}/throws-too-late`)).status, 200)
  t.regex(JSON.parse(await child.out.match(/Thrown after its request was over/)).err.stack, /what went wrong/)
  connection.send('cd')
  t.is((await connection.response()).text, 'abcd')
  child.signal('SIGTERM')
  t.is(await child.exited, 0)
})

test('an unhandled rejection is logged, and the instance continues', async (t) => {
  await using child = await startFixture()
  await using connection = await connectTo(child.url)
  for (let times = 0; times < 2; times++) {
    connection.get('/leaves-a-rejection')
    t.is((await connection.response()).text, '{"all":"well"}')
  }
  const record = JSON.parse(await child.out.match(/Unhandled rejection/, 2))
  t.is(record.severity, 'ERROR')
  t.regex(record.err.stack, /nobody cared\n\s+at /)
  child.signal('SIGTERM')
  t.is(await child.exited, 0)
})

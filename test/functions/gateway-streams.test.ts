import {once} from 'node:events'
import {Metadata, status} from '@grpc/grpc-js'
import test from 'ava'
import type {CallContext} from '../../local/grpc/implement.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {detail} from '../../src/core/fault.ts'
import {RetryInfoSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {streamTypes} from '../../src/transcoding/media.ts'
import {settled} from '../helpers/settled.ts'
import {connectTo, type Response} from '../http/connection.ts'
import {eventsIn} from '../http/events.ts'
import {refused} from './gateway-client.ts'
import {successOf, textOf} from './gateway-formats.ts'
import {type Any, type Served, silence, startServed} from './gateway-services.ts'

let app: Served
test.before(async () => {
  app = await startServed({env: {EVENT_STREAM_PING_SECONDS: '0.4'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const ndjson = 'application/x-ndjson'
const array = 'application/json'
const events = 'text/event-stream'
const json = {'content-type': 'application/json'}

const written = {
  [ndjson]: ['', '{"int32Value":1}\n{"int32Value":2}\n'],
  [array]: ['[]', '[{"int32Value":1},\n{"int32Value":2}]'],
  [events]: [
    ':\n\nid: 0;end\nevent: end\ndata: {}\n\n',
    ':\n\nid: 1\ndata: {"int32Value":1}\n\nid: 2\ndata: {"int32Value":2}\n\nid: 2;end\nevent: end\ndata: {}\n\n',
  ],
} as const

for (const [accept, type] of [
  [undefined, ndjson],
  ['*/*', ndjson],
  ['application/json', array],
  ['application/x-ndjson', ndjson],
  ['text/event-stream', events],
  ['text/*', events],
  ['text/event-stream;q=0.5, application/json;q=0.6', array],
  ['application/*, application/json;q=0', ndjson],
  ['*/*;q=0.1, text/event-stream;q=0.2', events],
] as const) {
  test.serial(`a server stream for Accept: ${accept} is ${type}`, async (t) => {
    for (const count of [0, 2]) {
      const response = await app.send(`GET /down?int32_value=${count}`, {headers: accept ? {accept} : {}})
      t.is(response.status, 200)
      t.true(response.whole)
      t.is(response.headers.get('content-type'), type)
      t.is(response.headers.get('cache-control'), 'no-store')
      // On a busy machine another keep-alive comment may be sent.
      t.is(response.text.replace(/^(:\n\n)+/, ':\n\n'), written[type][count === 0 ? 0 : 1])
    }
  })
}

test.serial('a server stream for an Accept that cannot be met is 406, and nothing is called', async (t) => {
  const calls = app.backend.log.length
  refused(t, await app.send('GET /down', {headers: {accept: 'text/html, */*;q=0'}}), 406, 'accept')
  t.is(app.backend.log.length, calls)
})

test.serial('a server stream of a body, and of one field', async (t) => {
  const posted = await app.send('POST /down', {headers: json, body: '{"int32Value":2}'})
  t.is(posted.text, written[ndjson][1])
  t.is((await app.send('GET /down/name?int32_value=2&name=a')).text, '"a"\n"a"\n')
})

test.serial('HEAD of a server stream is answered like GET, and reads no further', async (t) => {
  const call = app.streams.next()
  const response = await app.send('HEAD /down?int32_value=1000000')
  t.is(response.status, 200)
  t.is(response.headers.get('content-type'), ndjson)
  await (await call).cancelled
})

// Client streams

const values = ['{"name":"a"}', '{"name":"b\\"]}","child":{"longId":9007199254740993}}', '{}', '{"name":"ü"}']
const sum = {names: ['a', 'b"]}', '', 'ü'], children: [{longId: '9007199254740993'}]}

const bodies = {
  NDJSON: {type: ndjson, body: values.map((value) => `${value}\n`).join('')},
  'NDJSON without a last line end': {type: ndjson, body: values.join('\r\n')},
  'a JSON array': {type: array, body: ` [${values.join(' ,\n')}] `},
  'concatenated JSON': {type: array, body: values.join('')},
}

for (const [title, {type, body}] of Object.entries(bodies)) {
  test.serial(`a client stream in ${title}`, async (t) => {
    const response = await app.send('POST /up', {headers: {'content-type': type}, body})
    t.deepEqual([response.status, response.json], [200, sum], response.text)
  })

  test.serial(`a client stream in ${title}, byte by byte`, async (t) => {
    await using request = await app.begin('POST /up', {headers: {'content-type': type}})
    for (const byte of Buffer.from(body)) request.write(Uint8Array.of(byte))
    request.end()
    t.deepEqual((await request.response()).json, sum)
  })
}

test.serial('an empty client stream', async (t) => {
  for (const body of ['', ' \n', '[]']) t.deepEqual((await app.send('POST /up', {headers: json, body})).json, {})
})

test.serial('a client stream without a body: one message from path and query', async (t) => {
  t.deepEqual((await app.send('GET /up?name=a')).json, {names: ['a']})
  t.deepEqual((await app.send('GET /up?name=a', {body: '{}'})).json, {names: ['a']})
  refused(t, await app.send('GET /up?name=a', {body: '{"name":"b"}'}), 400, 'body')
})

for (const line of ['GET /whole', 'GET /down', 'GET /up']) {
  test.serial(
    `${line}: where no body is taken, its first byte is refused, and nothing waits for its end`,
    async (t) => {
      const calls = app.backend.log.length
      await using byte = await app.begin(line)
      byte.write('x')
      refused(t, await byte.response(), 400, 'body')
      await using none = await app.begin(`${line}?nope=a`)
      refused(t, await none.response(), 400, 'nope')
      t.is(app.backend.log.length, calls)
      await using empty = await app.begin(line)
      empty.end()
      t.is((await empty.response()).status, 200)
    },
  )
}

test.serial('path and query bindings are in every message', async (t) => {
  const response = await app.send('POST /up/n%2F/child', {headers: json, body: '{"age":1}{"age":2}{}'})
  t.deepEqual(response.json, {names: ['n/', 'n/', 'n/'], children: [{age: 1}, {age: 2}, {}]})
  using _ = app.streams.handle({
    async up(requests) {
      return {names: (await Array.fromAsync(requests as AsyncIterable<Any>)).map(({name, flag}) => `${name} ${flag}`)}
    },
  })
  const query = await app.send('POST /up/n/child?flag=true', {headers: json, body: '[{},{}]'})
  t.deepEqual(query.json, {names: ['n true', 'n true']})
})

test.serial('path and query bindings of an empty client stream are one message', async (t) => {
  for (const body of ['', ' \n']) {
    t.deepEqual((await app.send('POST /up/n', {headers: json, body})).json, {names: ['n']}, body)
    t.deepEqual((await app.send('POST /up/n/child', {headers: json, body})).json, {names: ['n']}, body)
    t.is((await app.send('POST /both/n?flag=true', {headers: json, body})).text, '{"name":"n","flag":true}\n', body)
  }
  const typed = await app.send('POST /up/n', {headers: {'content-type': 'text/plain', 'content-length': '0'}})
  t.deepEqual(typed.json, {names: ['n']}, 'whatever its type')
  t.is((await app.send('POST /both/n', {body: '{}'})).text, '{"name":"n","child":{}}\n', 'none beside those that come')
})

test.serial('an empty array is no message, whatever path and query bind', async (t) => {
  for (const body of ['[]', ' [ ] ', '\n[\n]\n']) {
    t.deepEqual((await app.send('POST /up/n', {headers: json, body})).json, {}, body)
    t.deepEqual((await app.send('POST /up/n/child', {headers: json, body})).json, {}, body)
    const both = await app.send('POST /both/n?flag=true', {headers: json, body})
    t.deepEqual([both.status, both.text], [200, ''], body)
  }
  await using cut = await app.begin('POST /up/n')
  for (const byte of ' []\n') cut.write(byte)
  cut.end()
  t.deepEqual((await cut.response()).json, {}, 'byte by byte')
  t.deepEqual((await app.send('POST /up/n', {headers: json, body: '[{}]'})).json, {names: ['n']})
  t.deepEqual((await app.send('POST /up/n', {headers: json, body: '[{}, {}]'})).json, {names: ['n', 'n']})
  refused(t, await app.send('POST /up/n', {headers: json, body: '[[]]'}), 400, 'body')
})

test.serial('messages of a client stream reach the service while the request is open', async (t) => {
  const seen = Promise.withResolvers<string>()
  using _ = app.streams.handle({
    async up(requests) {
      const names: string[] = []
      for await (const {name} of requests) {
        names.push(name)
        seen.resolve(name)
      }
      return {names}
    },
  })
  await using request = await app.begin('POST /up', {headers: json})
  request.write('[{"name":"a"},{"na')
  t.is(await seen.promise, 'a')
  request.write('me":"b"}]')
  request.end()
  t.deepEqual((await request.response()).json, {names: ['a', 'b']})
})

test.serial('an early answer of a service to a client stream is sent while the request is open', async (t) => {
  using _ = app.streams.handle({
    async up(requests) {
      const {value} = await requests[Symbol.asyncIterator]().next()
      return {name: value.name}
    },
  })
  await using request = await app.begin('POST /up')
  request.write('{"name":"a"}\n')
  t.deepEqual((await request.response()).json, {name: 'a'})
})

test.serial('an early error of a service for a client stream is sent while the request is open', async (t) => {
  using _ = app.streams.handle({
    up() {
      throw new StatusError(status.PERMISSION_DENIED, 'Not you')
    },
  })
  await using request = await app.begin('POST /up')
  request.write('{"name":"a"}\n')
  refused(t, await request.response(), 403)
})

for (const [words, body, http, field] of [
  ['malformed JSON', '{"name":"a"} nope', 400, 'body'],
  ['an array cut short', '[{"name":"a"}', 400, 'body'],
  ['a value cut short', '{"name":"a"}{"na', 400, 'body'],
  ['what follows an array', '[{"name":"a"}] {}', 400, 'body'],
  ['an unknown field', '{"name":"a"}\n{"nope":1}', 400, 'nope'],
  ['duplicate keys', '{"name":"a"}\n{"name":"a","name":"b"}', 400, 'body'],
  ['a null', '{"name":"a"}\nnull', 400, 'body'],
  ['a byte order mark', '\ufeff{"name":"a"}', 400, 'body'],
  ['101 levels', `{"name":"a"}${'{"child":'.repeat(100)}{}${'}'.repeat(100)}`, 400, 'body'],
  ['a value of more than 1 MiB', `{"name":"a"}{"name":"${'a'.repeat(2 ** 20)}"}`, 413, undefined],
] as const) {
  test.serial(`${words} in the middle of a client stream is ${http}, and the service sees CANCELLED`, async (t) => {
    const call = app.streams.next()
    refused(t, await app.send('POST /up', {headers: json, body}), http, field)
    await (await call).cancelled
    await app.backend.idle()
    t.is(app.backend.log.at(-1)?.code, 'CANCELLED')
  })
}

for (const [headers, http, field] of [
  [{'content-type': 'text/plain'}, 415, 'content-type'],
  [{'content-type': 'application/x-www-form-urlencoded'}, 415, 'content-type'],
  [{'content-type': ndjson, 'content-encoding': 'gzip'}, 415, 'content-encoding'],
  [{accept: ndjson}, 406, 'accept'],
] as const) {
  test.serial(`a client stream with ${JSON.stringify(headers)} is ${http}, and nothing is called`, async (t) => {
    const calls = app.backend.log.length
    refused(t, await app.send('POST /up', {headers, body: '{}'}), http, field)
    t.is(app.backend.log.length, calls)
  })
}

// Both at once

for (const type of streamTypes) {
  test.serial(`bidi in ${type}: the first answer arrives while the request is still open`, async (t) => {
    await using request = await app.begin('POST /both?', {headers: {accept: type}})
    request.write('{"name":"first"}\n')
    await request.connection.until(/"name":"first"/)
    request.write('{"name":"second"}\n')
    await request.connection.until(/"name":"second"/)
    request.end()
    t.deepEqual(successOf(type, await request.response()), [{name: 'first'}, {name: 'second'}])
  })
}

test.serial('full duplex: 300 rounds, each waiting for the previous answer', async (t) => {
  await using request = await app.begin('POST /both/a')
  for (let round = 1; round <= 300; round++) {
    request.write(`{"age":${round}}\n`)
    await request.connection.until(new RegExp(`"age":${round}}`))
  }
  request.end()
  const all = successOf(ndjson, await request.response()) as {name: string; child: {age: number}}[]
  t.is(all.length, 300)
  t.true(all.every(({name, child}, index) => name === 'a' && child.age === index + 1))
})

test.serial('bidi: a service that ends early ends the answer while the request is open', async (t) => {
  using _ = app.streams.handle({
    async *both(requests) {
      for await (const request of requests) {
        yield request
        return
      }
    },
  })
  await using request = await app.begin('POST /both')
  request.write('{"name":"a"}\n{"name":"b"}\n')
  t.deepEqual(successOf(ndjson, await request.response()), [{name: 'a'}])
})

test.serial('bidi: a service may send first', async (t) => {
  using _ = app.streams.handle({
    async *both(requests) {
      yield {name: 'hello'}
      for await (const {name} of requests) yield {name: `${name}?`}
    },
  })
  await using request = await app.begin('POST /both')
  await request.connection.until(/"hello"/)
  request.write('{"name":"what"}')
  request.end()
  t.deepEqual(successOf(ndjson, await request.response()), [{name: 'hello'}, {name: 'what?'}])
})

for (const type of streamTypes) {
  test.serial(`bidi in ${type}: bad JSON is 400, and cuts the answer once it has begun`, async (t) => {
    const headers = {accept: type}
    const first = await app.send('POST /both', {headers, body: '{"nope":1}'})
    if (type === events) t.like(failureIn(first), {code: 400, details: [{fieldViolations: [{field: 'nope'}]}]})
    else refused(t, first, 400, 'nope')
    const call = app.streams.next()
    await using request = await app.begin('POST /both', {headers})
    request.write('{"name":"a"}\n')
    await request.connection.until(/"name":"a"/)
    request.write('{"nope":1}\n')
    const response = await request.response()
    t.is(successOf(type, response), undefined)
    t.is(textOf(type, response), undefined)
    if (type !== array) t.regex(response.text, /INVALID_ARGUMENT.*"nope"/)
    await (await call).cancelled
  })
}

// The response head

for (const type of streamTypes) {
  test.serial(`${type}: the head is sent with the backend's metadata, before its first message`, async (t) => {
    const gate = Promise.withResolvers<void>()
    using _ = app.streams.handle({
      async *down(_request: Any, context: CallContext) {
        const metadata = new Metadata()
        metadata.set('x-early', 'yes')
        context.sendHeader(metadata)
        await gate.promise
        yield {name: 'a'}
      },
    })
    await using request = await app.begin('GET /down', {headers: {accept: type}})
    request.end()
    await request.connection.until(/\r\n\r\n/)
    gate.resolve()
    const response = await request.response()
    t.deepEqual(successOf(type, response), [{name: 'a'}])
    // The head of an event stream does not wait for metadata.
    t.is(response.headers.get('grpc-metadata-x-early'), type === events ? undefined : 'yes')
  })

  test.serial(`${type}: HEAD is answered with the backend's metadata, and the call cancelled`, async (t) => {
    using _ = app.streams.handle({
      async *down(_request: Any, context: CallContext) {
        context.sendHeader()
        await silence(context)
        yield {}
      },
    })
    const {status, whole} = await app.send('HEAD /down', {headers: {accept: type}})
    t.deepEqual([status, whole], [200, true])
  })
}

test.serial('the head of an event stream is sent before the service has sent anything', async (t) => {
  const gate = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    async *down() {
      await gate.promise
      yield* []
    },
  })
  const call = app.streams.next()
  const response = await fetch(app.url('/down'), {headers: {accept: events}})
  t.is(response.status, 200)
  await call
  gate.resolve()
  t.is(await response.text(), written[events][0])
})

for (const type of [ndjson, array] as const) {
  test.serial(`${type}: an error after the head and before the first message cuts the answer`, async (t) => {
    const gate = Promise.withResolvers<void>()
    using _ = app.streams.handle({
      async *down(_request: Any, context: CallContext) {
        context.sendHeader()
        await gate.promise
        yield* []
        throw new StatusError(status.NOT_FOUND, 'Late')
      },
    })
    await using request = await app.begin('GET /down', {headers: {accept: type}})
    request.end()
    await request.connection.until(/\r\n\r\n/)
    gate.resolve()
    const response = await request.response()
    t.deepEqual([response.status, response.whole, textOf(type, response)], [200, false, undefined])
    if (type === ndjson) t.is(JSON.parse(response.text).error.status, 'NOT_FOUND')
    else t.is(response.text, '')
  })
}

for (const line of ['GET /down?nope=a', 'GET /nothing', 'POST /down/name']) {
  test.serial(`${line}: an invalid request for an event stream keeps its status`, async (t) => {
    const {status, json} = await app.send(line, {headers: {accept: events}})
    t.true(status >= 400)
    t.is(json.error.code, status)
  })
}

// Failed responses

/** The error in the only event of a response. */
function failureIn({text}: Response): Any {
  const {events} = eventsIn(text)
  return events.length === 1 && events[0]?.event === 'error' ? JSON.parse(events[0].data).error : undefined
}

const failures = {
  'of the service': () => {
    throw new StatusError(status.ABORTED, 'Somebody else was faster')
  },
  // A time after the year 9999 has no JSON.
  'of ours': () => ({time: {seconds: 10n ** 12n}}),
} as const

for (const type of streamTypes) {
  for (const [origin, fail] of Object.entries(failures)) {
    const says = type === events ? 'is an event' : 'has its real status'
    test.serial(`${type}: an error ${origin} before the first message ${says}`, async (t) => {
      using _ = app.streams.handle({
        async *down() {
          yield fail()
        },
      })
      const response = await app.send('GET /down', {headers: {accept: type}})
      const code = origin === 'of ours' ? 500 : 409
      if (type !== events) return refused(t, response, code)
      t.is(failureIn(response).code, code)
      // After a transient error the connection is cut, so that the browser retries.
      t.is(response.whole, origin === 'of ours')
      t.is(eventsIn(response.text).events[0]?.id, origin === 'of ours' ? '0;end' : '')
    })

    test.serial(
      `${type}: no prefix of a response that fails later, ${origin}, reads as a complete success`,
      async (t) => {
        using _ = app.streams.handle({
          async *down() {
            yield {name: 'a'}
            yield {name: 'b'}
            yield fail()
          },
        })
        const response = await app.send('GET /down', {headers: {accept: type}})
        t.is(response.status, 200)
        // An event stream with a permanent error is read to its end: an event reports the error.
        t.is(response.whole, type === events && origin === 'of ours')
        t.is(textOf(type, response), undefined)
        const code = origin === 'of ours' ? 'INTERNAL' : 'ABORTED'
        if (type === array) t.is(response.text, '[{"name":"a"},\n{"name":"b"}')
        else if (type === ndjson) t.is(JSON.parse(response.text.split('\n').at(-2) ?? '').error.status, code)
        else {
          const [, id, data = ''] = /\n\n(?:id: (.*)\n)?event: error\ndata: (.*)\n\n$/.exec(response.text) ?? []
          t.is(id, origin === 'of ours' ? '2;end' : undefined)
          t.is(JSON.parse(data).error.status, code)
        }
      },
    )
  }
}

for (const type of streamTypes) {
  test.serial(`${type}: in HTTP/1.0, where a body lasts until the end, an error resets the connection`, async (t) => {
    using _ = app.streams.handle({
      async *down() {
        yield {name: 'a'}
        throw new StatusError(status.ABORTED, 'Late')
      },
    })
    await using connection = await connectTo(app.url(''))
    connection.send(`GET /down HTTP/1.0\naccept: ${type}\n\n`)
    t.is((await connection.closed)?.code, 'ECONNRESET')
    t.is(textOf(type, {status: 200, text: connection.rest.split('\r\n\r\n')[1] ?? ''}), undefined)
  })
}

test.serial('an event stream: a comment during silence, and ids that count only messages', async (t) => {
  const gate = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    async *down() {
      yield {name: 'a'}
      await gate.promise
      yield {name: 'b'}
    },
  })
  await using request = await app.begin('GET /down', {headers: {accept: events}})
  request.end()
  await request.connection.until(/\n\n\r\n(?:3\r\n:\n\n\r\n){2}/)
  gate.resolve()
  const response = await request.response()
  t.regex(response.text, /^:\n\nid: 1\ndata: {"name":"a"}\n\n(:\n\n){2,}id: 2\ndata: {"name":"b"}\n\nid: 2;end\n/)
  t.deepEqual(successOf(events, response), [{name: 'a'}, {name: 'b'}])
})

for (const line of ['GET /down?int32_value=3', 'POST /down', 'POST /both']) {
  test.serial(`${line}: an event stream that has ended is answered with 204, and nothing is called`, async (t) => {
    const more = {body: line.startsWith('POST') ? '{"int32Value": 3}' : undefined}
    const ask = (headers: Record<string, string>) => app.send(line, {...more, headers: {...json, ...headers}})
    const {events: all} = eventsIn((await ask({accept: events})).text)
    t.deepEqual(all.at(-1), {event: 'end', data: '{}', id: `${all.length - 1};end`})
    const calls = app.backend.log.length
    for (const id of [all.at(-1)!.id, '0;end', 'any cursor;end']) {
      const {status, text, whole, headers} = await ask({accept: events, 'last-event-id': id})
      t.deepEqual([status, text, whole, headers.get('cache-control')], [204, '', true, 'no-store'])
    }
    t.is(app.backend.log.length, calls)
    // Neither a caller whose stream was cut nor a reader of another format has all of it, so the stream is sent again.
    for (const id of ['2', '', ';end;', '3;END']) {
      const {status, text} = await ask({accept: events, 'last-event-id': id})
      t.deepEqual([status, eventsIn(text).events.length], [200, all.length])
    }
    t.is((await ask({accept: ndjson, 'last-event-id': '3;end'})).status, 200)
  })
}

const retryInfo = (seconds: number) => detail(RetryInfoSchema, {retryDelay: {seconds: BigInt(seconds)}})

for (const [code, details, id, retry] of [
  ['CANCELLED', [], '1', undefined],
  ['UNKNOWN', [], '1;end', undefined],
  ['INVALID_ARGUMENT', [], '1;end', undefined],
  ['DEADLINE_EXCEEDED', [], '1', undefined],
  ['NOT_FOUND', [], '1;end', undefined],
  ['ALREADY_EXISTS', [], '1;end', undefined],
  ['PERMISSION_DENIED', [], '1;end', undefined],
  ['RESOURCE_EXHAUSTED', [], '1;end', undefined],
  ['RESOURCE_EXHAUSTED', [retryInfo(7)], '1', 7000],
  ['FAILED_PRECONDITION', [], '1;end', undefined],
  ['ABORTED', [], '1', undefined],
  ['OUT_OF_RANGE', [], '1;end', undefined],
  ['UNIMPLEMENTED', [], '1;end', undefined],
  ['INTERNAL', [], '1;end', undefined],
  ['UNAVAILABLE', [], '1', undefined],
  ['UNAVAILABLE', [retryInfo(0)], '1', 0],
  ['DATA_LOSS', [], '1;end', undefined],
  ['UNAUTHENTICATED', [], '1;end', undefined],
] as const) {
  test.serial(
    `an event stream that fails with ${code}${details.length ? ' and RetryInfo' : ''} ends with the id ${id}`,
    async (t) => {
      using _ = app.streams.handle({
        async *down() {
          yield {name: 'a'}
          throw new StatusError(status[code], 'Late', details)
        },
      })
      const response = await app.send('GET /down', {headers: {accept: events}})
      t.is(response.whole, id.endsWith(';end'))
      const {events: all, retry: said} = eventsIn(response.text)
      t.deepEqual([all.length, all.at(-1)?.event, all.at(-1)?.id, said], [2, 'error', id, retry])
      const again = await app.send('GET /down', {headers: {accept: events, 'last-event-id': id}})
      t.is(again.status, id === '1' ? 200 : 204)
    },
  )
}

test.serial('a comment is sent before the first message too, and in no other format', async (t) => {
  const gate = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    async *down() {
      await gate.promise
      yield* []
    },
  })
  await using lines = await app.begin('GET /down')
  lines.end()
  await using sent = await app.begin('GET /down', {headers: {accept: events}})
  sent.end()
  await sent.connection.until(/\r\n(?:3\r\n:\n\n\r\n){2}/)
  gate.resolve()
  t.is((await lines.response()).text, '')
  t.deepEqual(successOf(events, await sent.response()), [])
})

// google.api.HttpBody

const bytes = Buffer.from(Uint8Array.from({length: 256}, (_, byte) => byte))
const query = (pieces: Buffer[]) => pieces.map((piece) => `datas=${piece.toString('base64url')}`).join('&')

for (const path of ['/bytes:down', '/bytes/field:down']) {
  test.serial(`a stream of HttpBody: type of the first, nothing between: ${path}`, async (t) => {
    const pieces = [bytes, Buffer.alloc(0), Buffer.from('\n'), bytes]
    // The type does not match Accept, but HttpBody is bytes, which are sent for any Accept.
    const response = await fetch(app.url(`${path}?name=image/png&${query(pieces)}`), {headers: {accept: 'text/css'}})
    t.is(response.headers.get('content-type'), 'image/png')
    t.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.concat(pieces))
    const none = await app.send(`GET ${path}`)
    t.deepEqual([none.status, none.text, none.headers.get('content-type')], [200, '', 'application/octet-stream'])
  })
}

test.serial('a content type of HttpBody that is not valid in a header is ignored', async (t) => {
  const response = await app.send('GET /bytes:down?name=a%0ab&datas=AA')
  t.deepEqual([response.status, response.text], [200, '\0'])
  t.is(response.headers.get('content-type'), 'application/octet-stream')
})

test.serial('a stream of HttpBody that fails is cut, or has its real status', async (t) => {
  using _ = app.bytes.handle({
    async *down({name}) {
      if (name) yield {data: Buffer.from('some')}
      throw new StatusError(status.DATA_LOSS, 'Gone')
    },
  })
  refused(t, await app.send('GET /bytes:down'), 500)
  const response = await app.send('GET /bytes:down?name=a')
  t.deepEqual([response.status, response.text, response.whole], [200, 'some', false])
})

test.serial('a client stream of HttpBody: each piece is forwarded, with the type in the first message', async (t) => {
  for (const [line, name] of [
    ['POST /bytes:up', undefined],
    ['POST /bytes/n:up', 'n'],
  ] as const) {
    await using request = await app.begin(line, {headers: {'content-type': 'image/png'}})
    request.write(bytes)
    request.write(bytes)
    request.end()
    const {json} = await request.response()
    t.is(json.file.contentType, 'image/png')
    t.deepEqual(Buffer.from(json.file.data, 'base64'), Buffer.concat([bytes, bytes]))
    if (name) t.is(json.name, 'n')
    // The network decides how many messages there are. Without the type in the path, only the first message has it.
    const [first, ...more] = json.names
    t.is(first, name ?? 'image/png')
    t.deepEqual(
      more.filter((each: string) => each !== (name ?? '')),
      [],
    )
  }
})

test.serial('a client stream of HttpBody without bytes keeps its type and the bindings of the path', async (t) => {
  const headers = {'content-type': 'image/png'}
  t.deepEqual((await app.send('POST /bytes:up', {headers})).json, {
    names: ['image/png'],
    file: {contentType: 'image/png'},
  })
  t.deepEqual((await app.send('POST /bytes/n:up', {headers})).json, {name: 'n', file: {contentType: 'image/png'}})
})

test.serial('a client stream of HttpBody that is compressed is 415', async (t) => {
  refused(
    t,
    await app.send('POST /bytes:up', {headers: {'content-encoding': 'gzip'}, body: 'x'}),
    415,
    'content-encoding',
  )
})

test.serial('bidi of HttpBody, in both directions at once', async (t) => {
  await using request = await app.begin('POST /bytes:both', {headers: {'content-type': 'text/plain'}})
  for (const word of ['one', 'two', 'three']) {
    request.write(word)
    await request.connection.until(new RegExp(`${word}\r\n`))
  }
  request.end()
  const response = await request.response()
  t.deepEqual(
    [response.text, response.headers.get('content-type'), response.whole],
    ['onetwothree', 'text/plain', true],
  )
})

// Methods without a rule

test.serial('a stream without a rule is at POST /<package.Service>/<Method>', async (t) => {
  t.is((await app.send('POST /served.Plain/Both', {body: '{"age":1}{"age":2}'})).text, '{"age":1}\n{"age":2}\n')
})

// Back-pressure

const MiB = 2 ** 20
const filler = 'x'.repeat(64 * 1024)

test.serial(
  'a service that reads nothing stops the reading of the request; then all arrives, and few bytes are in flight',
  async (t) => {
    const gate = Promise.withResolvers<void>()
    let received = 0
    using _ = app.streams.handle({
      async up(requests) {
        await gate.promise
        for await (const {name} of requests) received += name.length
        return {int32Value: received}
      },
    })
    await using request = await app.begin('POST /up')
    const {socket} = request.connection
    const size = 256 * MiB
    let sent = 0
    let most = 0
    const sending = (async () => {
      for (; sent < size; sent += filler.length) {
        if (!request.write(`{"name":"${filler}"}\n`)) await once(socket, 'drain')
        most = Math.max(most, sent - socket.writableLength - received)
      }
      request.end()
    })()
    const accepted = await settled(() => sent - socket.writableLength)
    t.true(accepted < 24 * MiB, `${accepted} bytes were taken from the caller, none of which the service took`)
    gate.resolve()
    await sending
    t.is((await request.response()).json.int32Value, size)
    t.true(most < 32 * MiB, `${most} bytes were under way at once, of ${size}`)
  },
)

for (const line of ['GET /down', 'POST /both']) {
  test.serial(`a caller that reads nothing stops the service: ${line}`, async (t) => {
    let made = 0
    let ended = false
    async function* much() {
      for (; made < 64 * MiB; made += filler.length) yield {name: filler}
      ended = true
    }
    using _ = app.streams.handle({down: much, both: much})
    await using request = await app.begin(line)
    const {socket} = request.connection
    socket.pause()
    request.end()
    const before = await settled(() => made)
    t.true(before > 0)
    t.true(before < 24 * MiB, `${before} bytes were made, none of which the caller read`)
    t.false(ended)
    let read = 0
    socket.removeAllListeners('data')
    socket.on('data', (text: string) => {
      read += text.length
    })
    socket.resume()
    await app.backend.idle()
    t.true(ended)
    while (read < 64 * MiB) await once(socket, 'data')
  })
}

// Hang-ups

const kinds = [
  {line: 'GET /whole', service: 'echo', method: 'whole'},
  {line: 'POST /up', service: 'streams', method: 'up'},
  {line: 'GET /down', service: 'streams', method: 'down'},
  {line: 'POST /both', service: 'streams', method: 'both'},
  {line: 'GET /bytes:down', service: 'bytes', method: 'down'},
  {line: 'POST /bytes:both', service: 'bytes', method: 'both'},
] as const

for (const {line, service, method} of kinds) {
  const unary = method === 'whole' || method === 'up'
  const answering = {
    [method]: unary
      ? (_: Any, context: CallContext) => silence(context)
      : async function* (_: Any, context: CallContext) {
          await silence(context)
          yield {}
        },
  }

  for (const body of line.startsWith('POST') ? ['open', 'ended'] : ['ended']) {
    test.serial(`${line}: hanging up before any answer, the request ${body}, cancels the call at once`, async (t) => {
      using _ = app[service].handle(answering)
      const call = app[service].next()
      await using request = await app.begin(line)
      if (line.startsWith('POST')) request.write('{}\n')
      if (body === 'ended') request.end()
      const {cancelled} = await call
      request.connection.socket.destroy()
      await cancelled
      await app.backend.idle()
      t.is(app.backend.log.at(-1)?.code, 'CANCELLED')
    })
  }

  if (!unary) {
    test.serial(`${line}: hanging up between two answers cancels the call at once`, async (t) => {
      using _ = app[service].handle({
        async *[method](_requests: Any, context: CallContext) {
          yield service === 'bytes' ? {data: Buffer.from('first')} : {name: 'first'}
          await silence(context)
        },
      })
      const call = app[service].next()
      await using request = await app.begin(line)
      if (method === 'down') request.end()
      await request.connection.until(/first/)
      request.connection.socket.destroy()
      await (await call).cancelled
      await app.backend.idle()
      t.is(app.backend.log.at(-1)?.code, 'CANCELLED')
    })

    test.serial(`${line}: hanging up without having read cancels the call at once`, async (t) => {
      let made = 0
      using _ = app[service].handle({
        async *[method]() {
          for (;;) {
            made++
            yield service === 'bytes' ? {data: Buffer.from(filler)} : {name: filler}
          }
        },
      })
      const call = app[service].next()
      await using request = await app.begin(line)
      if (method === 'down') request.end()
      request.connection.socket.pause()
      const {cancelled} = await call
      await settled(() => made)
      request.connection.socket.resetAndDestroy()
      await cancelled
      t.pass()
    })
  }
}

test.serial('hanging up while a service does not read cancels the call at once', async (t) => {
  using _ = app.streams.handle({up: (_requests: Any, context: CallContext) => silence(context)})
  const call = app.streams.next()
  await using request = await app.begin('POST /up')
  const {cancelled} = await call
  while (request.write(`{"name":"${filler}"}\n`));
  request.connection.socket.destroy()
  await cancelled
  t.pass()
})

// Deadlines

for (const {line, service, method} of kinds) {
  test.serial(`${line}: a passed deadline gives 504, and cancels the call`, async (t) => {
    using _ = app[service].handle({
      [method]:
        method === 'whole' || method === 'up'
          ? (_: Any, context: CallContext) => silence(context)
          : async function* (_: Any, context: CallContext) {
              await silence(context)
              yield {}
            },
    })
    const call = app[service].next()
    const response = await app.send(line, {headers: {'x-server-timeout': '0.2'}})
    refused(t, response, 504)
    t.is(response.json.error.status, 'DEADLINE_EXCEEDED')
    await (await call).cancelled
  })
}

for (const type of streamTypes) {
  test.serial(`${type}: a deadline that passes after the first message cuts the answer`, async (t) => {
    using _ = app.streams.handle({
      async *down(_request: Any, context: CallContext) {
        yield {name: 'first'}
        await silence(context)
      },
    })
    const response = await app.send('GET /down', {headers: {accept: type, 'grpc-timeout': '200m'}})
    t.is(response.status, 200)
    t.false(response.whole)
    t.is(textOf(type, response), undefined)
    if (type !== array) t.regex(response.text, /DEADLINE_EXCEEDED/)
  })
}

test.serial('the service gets the deadline', async (t) => {
  const call = app.streams.next()
  const before = Date.now()
  await app.send('GET /down?int32_value=1', {headers: {'grpc-timeout': '7S'}})
  const deadline = Number((await call).context.deadline)
  t.true(deadline >= before + 6999 && deadline <= Date.now() + 7001, `${deadline - before} ms`)
})

for (const [line, kind] of [
  ['GET /down?int32_value=1', 'a server stream'],
  ['POST /up', 'a client stream'],
  ['POST /both', 'a bidi stream'],
] as const) {
  test.serial(`${kind} may last as long as its request, without the deadline of a unary call`, async (t) => {
    const call = app.streams.next()
    await app.send(line, line.startsWith('POST') ? {body: '{"int32Value": 1}'} : {})
    const left = Number((await call).context.deadline) - Date.now()
    // 300 s, minus the second that is reserved for a 504, minus the time that a busy machine takes to get here.
    t.true(left > 200_000 && left <= 299_000, `${left} ms`)
  })
}

import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {text} from 'node:stream/consumers'
import test from 'ava'
import {startStack} from '../local/stack.ts'
import {servedSchema} from './functions/gateway-schema.ts'
import {type Child, startChild, startFixture} from './http/child.ts'
import {connectTo} from './http/connection.ts'

let child: Child
const behind: Record<string, Child> = {}
test.before(async () => {
  child = await startFixture({GOOGLE_CLOUD_PROJECT: 'demo'})
  behind['0'] = child
  for (const hops of ['1', '2']) behind[hops] = await startFixture({TRUSTED_HOPS: hops})
})
test.after.always(() => Promise.all(Object.values(behind).map((one) => one[Symbol.asyncDispose]())))

/** Waits for the only log record of the request `id`. */
async function recordOf(id: string, from = child) {
  return JSON.parse(
    await from.out.match(new RegExp(`"httpRequest":.*"requestId":"${id}"|"requestId":"${id}".*"httpRequest":`)),
  )
}

async function ask(path: string, headers: Record<string, string> = {}, from = child) {
  const response = await fetch(`${from.url}${path}`, {headers})
  const text = await response.text().catch(() => 'cut')
  return {text, record: await recordOf(response.headers.get('x-request-id') ?? '', from)}
}

test('a request is one line of JSON, with the field names of Cloud Logging', async (t) => {
  const {record} = await ask('/well?a=b', {
    'x-request-id': 'one-line',
    'user-agent': 'tester',
    referer: 'http://here/page?session=abc#top',
    'x-forwarded-for': '203.0.113.9, 10.0.0.1',
    traceparent: '00-0123456789abcdef0123456789abcdef-fedcba9876543210-01',
  })
  const {timestamp, message, httpRequest, ...rest} = record
  t.regex(timestamp, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  t.regex(message, /^GET \/well 200 in \d+ ms$/)
  t.regex(httpRequest.latency, /^\d+\.\d{6}s$/)
  t.deepEqual(
    {...httpRequest, latency: ''},
    {
      requestMethod: 'GET',
      requestUrl: '/well?a=…',
      status: 200,
      responseSize: '14',
      userAgent: 'tester',
      remoteIp: '10.0.0.1',
      referer: 'http://here/page?session=…',
      latency: '',
      protocol: 'HTTP/1.1',
    },
  )
  t.deepEqual(rest, {
    severity: 'INFO',
    requestId: 'one-line',
    'logging.googleapis.com/trace': 'projects/demo/traces/0123456789abcdef0123456789abcdef',
    'logging.googleapis.com/spanId': 'fedcba9876543210',
    'logging.googleapis.com/trace_sampled': true,
  })
})

for (const [hops, forwarded, remoteIp] of [
  ['0', '198.51.100.1, 203.0.113.9', '203.0.113.9'],
  ['0', '203.0.113.9', '203.0.113.9'],
  ['0', '198.51.100.1,2001:db8::9', '2001:db8::9'],
  ['0', '198.51.100.1, [2001:db8::9]:443', '2001:db8::9'],
  ['0', '198.51.100.1, 203.0.113.9:443', '203.0.113.9'],
  ['0', '198.51.100.1, <b>me</b>', '127.0.0.1'],
  ['0', '', '127.0.0.1'],
  ['1', '198.51.100.1, 203.0.113.9, 10.0.0.1', '203.0.113.9'],
  ['1', '203.0.113.9', '203.0.113.9'],
  ['2', '198.51.100.1, 203.0.113.9, 10.0.0.2, 10.0.0.1', '203.0.113.9'],
  ['2', '198.51.100.1, 203.0.113.9', '203.0.113.9'],
] as const) {
  test(`with TRUSTED_HOPS=${hops} the address of "${forwarded}" is ${remoteIp}`, async (t) => {
    const {record} = await ask('/well', {'x-forwarded-for': forwarded}, behind[hops])
    t.is(record.httpRequest.remoteIp.replace('::1', '127.0.0.1').replace('::ffff:', ''), remoteIp)
  })
}

const trace = '0123456789abcdef0123456789abcdef'

for (const [title, headers, span, sampled] of [
  ['a traceparent that is not sampled', {traceparent: `00-${trace}-00f067aa0ba902b7-00`}, '00f067aa0ba902b7', false],
  ['Google’s header', {'x-cloud-trace-context': `${trace}/1;o=1`}, '0000000000000001', true],
  [
    'Google’s header in capitals',
    {'x-cloud-trace-context': `${trace.toUpperCase()}/255;o=0`},
    '00000000000000ff',
    false,
  ],
  ['Google’s greatest span', {'x-cloud-trace-context': `${trace}/18446744073709551615;o=1`}, 'ffffffffffffffff', true],
  ['Google’s header without options', {'x-cloud-trace-context': `${trace}/16`}, '0000000000000010', false],
  ['Google’s header without a span', {'x-cloud-trace-context': trace}, undefined, false],
  ['Google’s header with a span of zero', {'x-cloud-trace-context': `${trace}/0;o=1`}, undefined, true],
  [
    'both, of which traceparent wins',
    {traceparent: `00-${trace}-00f067aa0ba902b7-01`, 'x-cloud-trace-context': `${'f'.repeat(32)}/1;o=0`},
    '00f067aa0ba902b7',
    true,
  ],
  [
    'a traceparent of zeros beside Google’s header',
    {traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, 'x-cloud-trace-context': `${trace}/1;o=1`},
    '0000000000000001',
    true,
  ],
  [
    'a traceparent with a span of zeros beside Google’s header',
    {traceparent: `00-${trace}-${'0'.repeat(16)}-01`, 'x-cloud-trace-context': `${trace}/1;o=1`},
    '0000000000000001',
    true,
  ],
] as const) {
  test(`a record has the trace of ${title}`, async (t) => {
    const {record} = await ask('/well', headers)
    t.is(record['logging.googleapis.com/trace'], `projects/demo/traces/${trace}`)
    t.is(record['logging.googleapis.com/spanId'], span)
    t.is(record['logging.googleapis.com/trace_sampled'], sampled)
  })
}

const traceless: Record<string, string>[] = [{}, {traceparent: 'nonsense'}, {'x-cloud-trace-context': 'nonsense'}]

for (const headers of traceless) {
  test(`a record has no trace if the request has ${JSON.stringify(headers)}`, async (t) => {
    const {record} = await ask('/well', headers)
    t.deepEqual(
      Object.keys(record).filter((key) => key.startsWith('logging')),
      [],
    )
  })
}

for (const [path, status, severity, code] of [
  ['/well', 200, 'INFO', undefined],
  ['/nothing', 204, 'INFO', undefined],
  ['/faults?http=400', 400, 'WARNING', 'NOT_FOUND'],
  ['/faults?http=404', 404, 'WARNING', 'NOT_FOUND'],
  ['/faults?http=500', 500, 'ERROR', 'NOT_FOUND'],
  ['/faults?http=503', 503, 'ERROR', 'NOT_FOUND'],
  ['/fails', 500, 'ERROR', 'INTERNAL'],
  ['/breaks', 200, 'ERROR', 'INTERNAL'],
  ['/breaks-for-good', 200, 'ERROR', 'INTERNAL'],
] as const) {
  test(`${path}, ${status}, is a record of severity ${severity}${code ? ` with ${code}` : ''}`, async (t) => {
    const {record} = await ask(path)
    t.deepEqual([record.httpRequest.status, record.severity, record.code], [status, severity, code])
  })
}

test("the record has the caller's error, and the remedy", async (t) => {
  const {record, text} = await ask('/faults?http=404')
  t.regex(record.message, /^GET \/faults 404 in \d+ ms: No such thing \(look for it elsewhere\)$/)
  t.is(record.cause, 'Error: what went wrong')
  t.notRegex(text, /elsewhere|went wrong/)
})

test('the cause of a 500 is in the record with its stack and causes, and never reaches the caller', async (t) => {
  const {record, text} = await ask('/fails')
  t.is(text, '{"error":{"code":500,"message":"Internal error","status":"INTERNAL","details":[]}}')
  t.is(record.err.type, 'Error')
  t.regex(record.err.stack, /^Error: what went wrong\n\s+at .*fixtures\/functions\.ts/)
  t.regex(record.err.stack, /why it did/)
})

test('an error after the head of a stream is in the record with its stack', async (t) => {
  const {record} = await ask('/breaks')
  t.regex(record.message, /^GET \/breaks 200 in \d+ ms: Internal error$/)
  t.regex(record.err.stack, /^Error: what went wrong\n\s+at /)
})

test('a caller that hung up is recorded as 499', async (t) => {
  await using connection = await connectTo(child.url)
  connection.get('/never', 'x-request-id: gone')
  await child.err.match(/called/)
  connection.socket.destroy()
  const {httpRequest, severity, code, message} = await recordOf('gone')
  t.deepEqual([httpRequest.status, httpRequest.responseSize, severity, code], [499, '0', 'WARNING', 'CANCELLED'])
  t.regex(message, /: The caller hung up$/)
})

test('a caller that hung up in the middle of a stream has another record than one that got all of it', async (t) => {
  await using connection = await connectTo(child.url)
  connection.send('POST /echo HTTP/1.1\nHost: localhost\nx-request-id: half-way\nContent-Length: 4\n\n<1>')
  await connection.until(/<1>/)
  connection.socket.destroy()
  const {httpRequest, severity, code} = await recordOf('half-way')
  t.deepEqual([httpRequest.status, httpRequest.responseSize, severity, code], [200, '3', 'WARNING', 'CANCELLED'])
})

test('so has a caller that hung up before a long answer was sent', async (t) => {
  await using connection = await connectTo(child.url)
  connection.get('/long', 'x-request-id: too-long')
  await connection.until(/HTTP/)
  connection.socket.destroy()
  const {httpRequest, severity, code} = await recordOf('too-long')
  t.deepEqual([httpRequest.status, severity, code], [200, 'WARNING', 'CANCELLED'])
})

for (const [title, path] of [
  ['an answer', '/long'],
  ['a stream', '/endless'],
]) {
  test(`${title} that its caller did not read in time is recorded as that`, async (t) => {
    await using connection = await connectTo(child.url)
    connection.socket.pause()
    connection.get(path!, `x-request-id: unread${path}`, 'x-server-timeout: 0.1')
    const {severity, message, code, httpRequest} = await recordOf(`unread${path}`)
    t.deepEqual([severity, code, httpRequest.status], ['WARNING', 'DEADLINE_EXCEEDED', 200])
    t.regex(message, /^GET \/\w+ 200 in \d+ ms: The caller had not read the answer by its deadline$/)
  })
}

for (const [title, sent, line] of [
  ['is no HTTP', 'nonsense\n\n', '400 before a request was read: The request is not HTTP: Invalid method encountered'],
  [
    'has headers without end',
    `GET / HTTP/1.1\nx: ${'x'.repeat(20_000)}`,
    '431 before a request was read: The headers are too long',
  ],
] as const) {
  test(`a refusal of ${title} has a record with the id of its answer`, async (t) => {
    await using connection = await connectTo(child.url)
    connection.send(sent)
    const {status, headers} = await connection.response()
    const {severity, message, httpRequest, code} = await recordOf(headers.get('x-request-id') ?? 'none')
    t.deepEqual([severity, message, httpRequest.status, code], ['WARNING', line, status, 'INVALID_ARGUMENT'])
  })
}

test('a body that turns out to be malformed is in the record of its request', async (t) => {
  await using connection = await connectTo(child.url)
  connection.send('POST /whole HTTP/1.1\nHost: test\nx-request-id: broken\nTransfer-Encoding: chunked\n\nno chunk\n')
  t.is((await connection.response()).status, 400)
  const {message, httpRequest} = await recordOf('broken')
  t.is(httpRequest.status, 400)
  t.regex(message, /^POST \/whole 400 in \d+ ms: The request is not HTTP: /)
})

test('a caller that half-closes in the middle of a body has one record', async (t) => {
  await using connection = await connectTo(child.url)
  connection.send('POST /whole HTTP/1.1\nHost: test\nx-request-id: half-closed\nContent-Length: 10\n\nhalf')
  connection.socket.end()
  const {status, headers} = await connection.response()
  t.is(status, 400)
  t.is((await recordOf('half-closed')).httpRequest.status, 499)
  const id = headers.get('x-request-id')!
  t.deepEqual(
    child.out.all.filter((line) => line.includes(id)),
    [],
  )
})

test("a function's notes are in its record, and its log lines have the request’s id and trace", async (t) => {
  const {record} = await ask('/notes', {'x-request-id': 'noted', traceparent: `00-${trace}-00f067aa0ba902b7-01`})
  t.is(record.colour, 'green')
  const said = JSON.parse(await child.out.match(/on the way/))
  t.is(said.requestId, 'noted')
  t.is(said['logging.googleapis.com/trace'], `projects/demo/traces/${trace}`)
  t.is(said['logging.googleapis.com/spanId'], '00f067aa0ba902b7')
})

for (const kind of ['string', 'strings', 'numbers', 'list', 'error']) {
  test(`a record that is too long, ${kind}, is shortened to a line that Cloud Logging accepts`, async (t) => {
    const response = await fetch(`${child.url}/notes-much?kind=${kind}`)
    await response.text()
    const id = response.headers.get('x-request-id') ?? ''
    const line = await child.out.match(new RegExp(`"requestId":"${id}"`))
    t.true(Buffer.byteLength(line) < 100 * 1024, `${line.length}`)
    const record = JSON.parse(line)
    t.deepEqual([record.colour, record.httpRequest.status], ['green', response.status])
    t.regex(record.message, /^GET \/notes-much \d{3} in /)
    if (kind === 'string') t.is(record.much, `${'€'.repeat(4096)}…`)
    if (kind === 'error') t.regex(record.err.stack, /^Error: €+…$/)
  })
}

test('every request has one record, and every line is JSON', async (t) => {
  await using one = await startFixture({LOG_LEVEL: 'info'})
  const paths = ['/well', '/nothing', '/fails', '/faults?http=404', '/breaks', '/throws-in-a-timer', '/well']
  for (const path of paths) await fetch(`${one.url}${path}`).then((response) => response.text().catch(() => {}))
  one.signal('SIGTERM')
  await one.exited
  const records = one.out.all.map((line) => JSON.parse(line)).filter(({httpRequest}) => httpRequest)
  t.deepEqual(
    records.map(({httpRequest}) => httpRequest.requestUrl),
    paths.map((path) => path.replace('404', '…')),
  )
  t.is(new Set(records.map(({requestId}) => requestId)).size, paths.length)
})

test('each level has a severity of Cloud Logging', async (t) => {
  await using one = await startFixture({LOG_LEVEL: 'trace'})
  await fetch(`${one.url}/levels`)
  one.signal('SIGTERM')
  await one.exited
  const said = one.out.all.map((line) => JSON.parse(line)).filter(({message}) => /^said as/.test(message))
  t.deepEqual(Object.fromEntries(said.map(({message, severity}) => [message.slice('said as '.length), severity])), {
    trace: 'DEBUG',
    debug: 'DEBUG',
    info: 'INFO',
    warn: 'WARNING',
    error: 'ERROR',
    fatal: 'CRITICAL',
  })
})

test('a line is written at once: an instance that is killed has written all of its lines', async (t) => {
  const script = `
    import {createLog} from './src/core/log.ts'
    const log = createLog({logLevel: 'info', logPretty: false})
    for (let line = 1; line <= 20; line++) log.info('line ' + line)
    process.kill(process.pid, 'SIGKILL')`
  const killed = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: `${import.meta.dirname}/..`,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [[, signal], out] = await Promise.all([once(killed, 'close'), text(killed.stdout)])
  t.is(signal, 'SIGKILL')
  t.deepEqual(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).message),
    Array.from({length: 20}, (_, line) => `line ${line + 1}`),
  )
})

test('LOG_LEVEL leaves out lower levels', async (t) => {
  await using one = await startFixture({LOG_LEVEL: 'error'})
  for (const path of ['/well', '/faults?http=404', '/fails'])
    await fetch(`${one.url}${path}`).then((response) => response.text())
  one.signal('SIGTERM')
  await one.exited
  t.deepEqual(
    one.out.all.map((line) => JSON.parse(line).httpRequest.requestUrl),
    ['/fails'],
  )
})

test('the record of a ping has the called method, its backend and its code', async (t) => {
  await using stack = await startStack()
  await using ping = await startChild('ping', stack.env)
  const well = await ask('/?message=hi', {}, ping)
  t.is(well.record.grpc.method, 'ping.PingService/Send')
  t.is(well.record.grpc.code, 'OK')
  t.is(well.record.grpc.backend, stack.backend?.url)
  t.true(Number.isInteger(well.record.grpc.latencyMs))
  const call = stack.backend!.ping.next()
  const failing = ask('/?message=hi', {}, ping)
  ;(await call).fail(5, 'No such ping')
  const {record} = await failing
  t.deepEqual([record.httpRequest.status, record.code, record.grpc.code], [404, 'NOT_FOUND', 'NOT_FOUND'])
})

test('if the backend rejects the function, the record says what to grant, and the caller is not told', async (t) => {
  await using stack = await startStack({}, {invokers: ['somebody@else']})
  await using ping = await startChild('ping', stack.env)
  const {record, text} = await ask('/?message=hi', {}, ping)
  t.deepEqual([record.httpRequest.status, record.severity], [502, 'ERROR'])
  t.regex(record.message, /grant roles\/run\.invoker/)
  t.true(record.message.includes(stack.backend!.url))
  t.is(JSON.parse(text).error.details[0].reason, 'BACKEND_PERMISSION_DENIED')
  t.notRegex(text, /run\.invoker|127\.0\.0\.1/)
})

test('no value of a query reaches the log, however the request ends', async (t) => {
  using schema = servedSchema()
  await using stack = await startStack()
  await using app = await startChild('app', {...stack.env, GATEWAY_DESCRIPTORS: schema.path})
  const secret = 'hunter2-hunter2-hunter2'
  const held = stack.backend!.ping.next()
  const failing = ask(`/ping?message=${secret}`, {}, app)
  ;(await held).fail(5, `No ping "${secret}" here`)
  const asked = [
    await failing,
    await ask(`/ping?message=hi&upstream=${secret}`, {}, app),
    await ask(`/ping?message=hi&access_token=${secret}`, {referer: `http://here/?token=${secret}`}, app),
    await ask(`/down?int32Value=${secret}`, {}, app),
    await ask(`/whole?name=%zz${secret}`, {}, app),
    await ask(`/whole?${secret}`, {}, app),
    await ask(`/whole?${secret}=`, {}, app),
    await ask(`/openapi.json?key=${secret}`, {}, app),
    await ask(`/nowhere?key=${secret}#access_token=${secret}`, {}, app),
  ]
  t.deepEqual(
    asked.map(({record}) => record.httpRequest.status),
    [404, 400, 200, 400, 400, 400, 400, 200, 404],
  )
  for (const {record} of asked) t.notRegex(JSON.stringify(record), /hunter2/)
  t.notRegex(app.out.all.join(), /hunter2/)
  t.regex(asked[0]!.record.message, /: No ping "…" here$/)
  t.true(asked[0]!.text.includes(secret))
  t.is(asked[2]!.record.httpRequest.requestUrl, '/ping?message=…&access_token=…')
  t.regex(asked[3]!.record.message, /Cannot set "int32Value"/)
  t.regex(asked[3]!.text, /hunter2/)
})

test('neither credentials nor values of an absolute URL in the request line reach the log', async (t) => {
  await using connection = await connectTo(child.url)
  connection.send(
    'GET http://me:hunter2@localhost/well?key=hunter2#hunter2 HTTP/1.1\nHost: localhost\nx-request-id: whole-url\n\n',
  )
  t.is((await connection.response()).status, 200)
  const record = await recordOf('whole-url')
  t.is(record.httpRequest.requestUrl, '/well?key=…')
  t.notRegex(JSON.stringify(record), /hunter2/)
})

test('no value of a body reaches the log', async (t) => {
  using schema = servedSchema()
  await using stack = await startStack()
  await using app = await startChild('app', {...stack.env, GATEWAY_DESCRIPTORS: schema.path})
  const headers = {'content-type': 'application/json', 'grpc-metadata-key-bin': 'hunter2!'}
  for (const body of [
    '{"message": hunter2}',
    '{"message": ["hunter2"]}',
    '{"message": 1, "message": "hunter2"}',
    '"hunter2"',
  ]) {
    const response = await fetch(`${app.url}/ping`, {method: 'POST', headers, body})
    t.is(response.status, 400)
    await recordOf(response.headers.get('x-request-id') ?? '', app)
  }
  const response = await fetch(`${app.url}/whole?name=a@b`, {headers})
  t.is(response.status, 400)
  await recordOf(response.headers.get('x-request-id') ?? '', app)
  t.notRegex(app.out.all.join(), /hunter2/)
})

import {once} from 'node:events'
import {METHODS} from 'node:http'
import {connect} from 'node:net'
import fc from 'fast-check'

/** A request as bytes. */
export interface Shot {
  readonly bytes: Buffer
  /** Whether HTTP can tell where the request begins and ends. If so, there must be an answer, whatever it contains. */
  readonly framed: boolean
}

const latin1 = fc.integer({min: 0, max: 255}).map((byte) => String.fromCharCode(byte))
const visible = fc.integer({min: 0x21, max: 0x7e}).map((byte) => String.fromCharCode(byte))

const fields = [
  ...['name', 'flag', 'data', 'int32_value', 'int64_value', 'color', 'child', 'child.name', 'names', 'choice_text'],
  ...[
    'choice_long',
    'any',
    'datas',
    'struct',
    'value',
    'time',
    'mask',
    'labels',
    'children',
    'file',
    'nope',
    'id',
    '__proto__',
  ],
]
/** Bound paths, followed by a body or a query that they accept. */
const roots = [
  ...[
    'GET /whole',
    'POST /whole',
    'PUT /whole/',
    'PATCH /whole/a/',
    'DELETE /whole/',
    'GET /one/',
    'GET /many/shelves/',
  ],
  ...['GET /rest/o', 'GET /tail/', 'GET /typed/1/1/', 'GET /deep/', 'GET /wrapped/', 'GET /over/', 'PURGE /custom/'],
  ...['POST /any/', 'TRACE /any/', 'HEAD /head/', 'OPTIONS /options/', 'POST /body/value', 'POST /body/any'],
  ...['POST /body/labels', 'POST /body/name', 'POST /body/struct', 'POST /body/children', 'POST /response/value'],
  ...['POST /bytes', 'POST /bytes/', 'POST /bytes:up', 'GET /bytes:down', 'POST /bytes:both', 'GET /bytes/field:down'],
  ...['POST /up', 'POST /up/', 'GET /up', 'GET /down', 'POST /down', 'GET /down/name', 'POST /both', 'POST /both/'],
  ...['POST /old', 'GET /old/', 'POST /modern', 'GET /modern/', 'POST /served.Plain/One', 'POST /served.Plain/Both'],
  ...['POST /v1/every', 'OPTIONS /whole', 'GET /openapi.json', 'GET /', 'GET '],
]
const crumbs = [
  ...[
    '/',
    '//',
    ':',
    ':cancel',
    ':purge',
    '%2F',
    '%2f',
    '%252F',
    '%',
    '%z',
    '%ff',
    '%00',
    '%0a',
    '%e2%82%ac',
    '..',
    '.',
  ],
  ...['a', '1', '-1', '9007199254740993', '1e999', 'null', 'true', '+', '*', '**', '{', '}', '&', '=', ';', '#', '?'],
  ...['shelves', 'books', 'end', 'x'],
]
const crumb = fc.oneof({arbitrary: fc.constantFrom(...crumbs), weight: 4}, fc.string({unit: visible, maxLength: 3}))
const crumbled = fc.array(crumb, {maxLength: 6}).map((all) => all.join(''))
/** Field names of up to 200 levels: beyond 100 levels no field exists. */
const deep = fc
  .tuple(fc.integer({min: 1, max: 200}), fc.constantFrom('name', 'age', 'child', 'nope', ''))
  .map(([levels, last]) => 'child.'.repeat(levels) + last)
const name = fc.oneof({arbitrary: fc.constantFrom(...fields), weight: 12}, {arbitrary: crumbled, weight: 2}, deep)
const pair = fc.tuple(name, fc.oneof(crumb, crumbled)).map((both) => both.join('='))
const rest = fc.oneof({arbitrary: fc.constant(''), weight: 5}, {arbitrary: crumb, weight: 3}, crumbled)
const query = fc.oneof(
  {arbitrary: fc.constant(''), weight: 3},
  fc.array(pair, {maxLength: 3}).map((pairs) => `?${pairs.join('&')}`),
)
/** The method and the path of a request. */
const target = fc
  .tuple(
    fc.constantFrom(...roots),
    rest,
    query,
    fc.oneof({arbitrary: fc.constant(''), weight: 8}, fc.constantFrom(...METHODS.filter((name) => name !== 'CONNECT'))),
  )
  .map(([root, rest, query, other]) => {
    const [method = '', path = ''] = root.split(' ')
    return `${other || method} ${`${path}${rest}${query}`.replace(/^\/?/, '/').replaceAll('#', '')}`
  })

/** Valid text of a header: no line breaks, and no control characters except the tab. */
const headerText = fc.string({unit: latin1, maxLength: 8}).map((value) => value.replace(/[\0-\x08\x0a-\x1f\x7f]/g, ''))
const header = fc.oneof(
  fc.tuple(
    fc.constantFrom('accept', 'accept-encoding', 'origin', 'x-request-id', 'traceparent', 'accept-language', 'cookie'),
    headerText,
  ),
  fc.tuple(fc.constantFrom('grpc-timeout', 'x-server-timeout'), fc.oneof(headerText, fc.constantFrom('9S', '3.5'))),
  fc.tuple(
    fc.constant('accept'),
    fc.constantFrom('application/json', 'text/event-stream', '*/*;q=0', 'a/b;;q=2', 'application/x-ndjson;q=0.1'),
  ),
  fc.tuple(
    fc.constant('content-type'),
    fc.oneof(
      headerText,
      fc.constantFrom(
        'application/json',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=cut',
        'multipart/form-data; boundary=',
        'application/x-ndjson',
        'text/plain',
      ),
    ),
  ),
  fc.tuple(
    fc.string({unit: visible, maxLength: 6}).map((name) => `grpc-metadata-${name.replace(/[^\w.!#$&'*+^`|~-]/g, '')}`),
    headerText,
  ),
  fc.tuple(
    fc
      .constantFrom(
        ...['te', 'upgrade', 'http2-settings', 'host', 'connection', 'keep-alive', 'proxy-connection', 'cookie'],
        ...['transfer-encoding', 'content-length', 'grpc-status', 'x-bin', 'date', 'age', 'etag', 'from', '-bin', '_'],
      )
      .map((name) => `grpc-metadata-${name}`),
    headerText,
  ),
  fc.tuple(fc.constant('content-encoding'), fc.constantFrom('gzip', 'identity', '')),
)

const part = fc
  .tuple(name, crumbled, fc.boolean())
  .map(
    ([name, value, file]) =>
      `--cut\r\nContent-Disposition: form-data; name="${name}"${file ? '; filename="f"' : ''}\r\n\r\n${value}\r\n`,
  )
const body = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  fc.uint8Array({maxLength: 60}).map((bytes) => Buffer.from(bytes)),
  fc
    .oneof(
      crumbled,
      fc.json({maxDepth: 3}),
      fc.array(fc.json({maxDepth: 2}), {maxLength: 4}).map((all) => all.join('\n')),
      fc
        .dictionary(fc.constantFrom(...fields), fc.oneof(fc.jsonValue({maxDepth: 2}), crumbled), {maxKeys: 4})
        .map((value) => JSON.stringify(value)),
      fc.array(pair, {maxLength: 4}).map((pairs) => pairs.join('&')),
      fc
        .tuple(fc.array(part, {maxLength: 3}), fc.constantFrom('--cut--\r\n', '--cut--', '', '--cut'))
        .map(([all, end]) => all.join('') + end),
      fc
        .array(fc.constantFrom('{', '}', '[', ']', '"', ',', ':', '\\', '1', '{}', '\n', '"name"', '"\\ud800"', 'é'), {
          maxLength: 12,
        })
        .map((all) => all.join('')),
    )
    .map((value) => Buffer.from(value)),
)

const rpcTypes = [
  ...['application/json', 'application/proto', 'application/connect+json', 'application/connect+proto'],
  ...[
    'application/grpc-web',
    'application/grpc-web+json',
    'application/grpc-web-text',
    'application/grpc-web-text+proto',
  ],
  ...['application/connect+thrift', 'application/grpc', 'application/json; charset=latin1'],
]

/** Messages in envelopes, whose flags and lengths may be wrong. */
const enveloped = fc
  .array(
    fc.tuple(
      fc.oneof({arbitrary: fc.constant(0), weight: 4}, fc.constantFrom(1, 2, 3, 128, 255)),
      fc.oneof(
        fc.uint8Array({maxLength: 20}).map((bytes) => Buffer.from(bytes)),
        fc
          .constantFrom('{}', '{"name":"a"}', '{"int32Value":2}', '\n\x01a', '0\x02', '')
          .map((text) => Buffer.from(text)),
      ),
      fc.oneof({arbitrary: fc.constant(0), weight: 6}, fc.constantFrom(-1, 1, 2 ** 20, 2 ** 31)),
    ),
    {maxLength: 4},
  )
  .map((all) =>
    Buffer.concat(
      all.map(([flags, data, more]) => {
        const prefix = Buffer.alloc(5, flags)
        prefix.writeUInt32BE(Math.max(0, data.length + more), 1)
        return Buffer.concat([prefix, data])
      }),
    ),
  )

/** Requests of Connect and gRPC-Web, many of them with an error. */
const rpc: fc.Arbitrary<Shot> = fc
  .record({
    path: fc.constantFrom(
      ...[
        '/served.Echo/Whole',
        '/served.Plain/One',
        '/served.Plain/Both',
        '/served.Streams/Up',
        '/served.Streams/Down',
      ],
      ...['/served.Streams/Both', '/served.Bytes/Up', '/served.Older/Old', '/served.Nope/Nope'],
    ),
    query: fc.oneof(
      {arbitrary: fc.constant(''), weight: 4},
      fc
        .tuple(
          fc.constantFrom('json', 'proto', '', 'connect%2Bjson'),
          crumbled,
          fc.constantFrom('', '&base64=1', '&compression=gzip'),
        )
        .map(
          ([encoding, message, more]) =>
            `?connect=v1&encoding=${encoding}&message=${message.replaceAll('#', '')}${more}`,
        ),
    ),
    method: fc.oneof({arbitrary: fc.constant('POST'), weight: 6}, fc.constantFrom('GET', 'HEAD', 'PUT', 'OPTIONS')),
    type: fc.constantFrom(...rpcTypes),
    headers: fc.array(
      fc.oneof(
        header,
        fc.constantFrom(
          ...(['connect-protocol-version', 'x-grpc-web'] as const).map((name) => [name, '1'] as [string, string]),
          ['connect-protocol-version', '2'] as [string, string],
          ['connect-content-encoding', 'gzip'] as [string, string],
          ['connect-accept-encoding', 'gzip'] as [string, string],
          ['grpc-encoding', 'gzip'] as [string, string],
          ['connect-timeout-ms', '9000'] as [string, string],
          ['connect-timeout-ms', '-1'] as [string, string],
          ['x-bin', '*'] as [string, string],
        ),
      ),
      {maxLength: 4},
    ),
    body: fc.oneof(
      enveloped,
      enveloped.map((bytes) => Buffer.from(bytes.toString('base64'))),
      body,
    ),
    cuts: fc.option(fc.array(fc.nat(60), {maxLength: 4})),
  })
  .map(({path, query, method, type, headers, body, cuts}) => {
    const all = [['host', 'test'], ['connection', 'close'], ['content-type', type], ...headers]
    const once = [...new Map(all.map(([name = '', value = '']) => [name, value] as const))]
    const framing = cuts ? 'transfer-encoding: chunked' : `content-length: ${body.length}`
    const lines = [...once.map(([name, value]) => `${name}: ${value}`), framing]
    const head = Buffer.from(`${method} ${path}${query} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1')
    return {bytes: Buffer.concat([head, ...(cuts ? chunks(body, cuts) : [body])]), framed: true}
  })

/** Well-formed framing around any content: the length is right, or the body is in chunks, cut anywhere. */
const framed: fc.Arbitrary<Shot> = fc
  .record({
    target,
    headers: fc.oneof(fc.constant([]), fc.array(header, {maxLength: 3})),
    body,
    cuts: fc.option(fc.array(fc.nat(60), {maxLength: 4})),
  })
  .map(({target, headers, body, cuts}) => {
    const lines = [['host', 'test'], ['connection', 'close'], ...headers].map(([name, value]) => `${name}: ${value}`)
    const framing = cuts ? 'transfer-encoding: chunked' : `content-length: ${body.length}`
    const head = Buffer.from(`${target} HTTP/1.1\r\n${[...lines, framing].join('\r\n')}\r\n\r\n`, 'latin1')
    return {bytes: Buffer.concat([head, ...(cuts ? chunks(body, cuts) : [body])]), framed: true}
  })

function chunks(body: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (body.length + 1)).toSorted((a, b) => a - b), body.length]
  const pieces = places.slice(1).map((end, index) => body.subarray(places[index], end))
  const sent = pieces.filter(({length}) => length > 0)
  return [
    ...sent.map((piece) =>
      Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]),
    ),
    Buffer.from('0\r\n\r\n'),
  ]
}

/** A request in which some bytes are replaced or missing. */
const broken: fc.Arbitrary<Shot> = fc
  .tuple(
    framed,
    fc.array(fc.tuple(fc.nat(400), fc.uint8Array({maxLength: 3})), {minLength: 1, maxLength: 3}),
    fc.nat(400),
  )
  .map(([{bytes}, changes, end]) => {
    const changed = Buffer.from(bytes)
    for (const [place, others] of changes)
      changed.set(others.slice(0, Math.max(0, changed.length - place)), Math.min(place, changed.length))
    return {bytes: end % 3 === 0 ? changed.subarray(0, end) : changed, framed: false}
  })

export const shots: fc.Arbitrary<Shot> = fc.oneof(
  {arbitrary: framed, weight: 6},
  {arbitrary: rpc, weight: 4},
  {arbitrary: broken, weight: 1},
)

/** Timeout after which a missing answer counts as a hang, in ms: far longer than any answer takes. */
const patience = 20_000

/**
 * The status of the one answer to `shot`; 0 if it is not an HTTP request and gets no answer.
 * @throws for no answer, for more than one, and for one that reports an error of the gateway
 */
export async function statusOf(url: string, {bytes, framed}: Shot): Promise<number> {
  const {hostname, port} = new URL(url)
  const socket = connect(Number(port), hostname)
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
  })
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  const timer = setTimeout(() => {
    received = `hangs: ${received}`
    socket.destroy()
  }, patience)
  // Nothing more will be sent, so the server must not wait for the rest of a truncated request.
  if (framed) socket.write(bytes)
  else socket.end(bytes)
  await closed
  clearTimeout(timer)
  const fail = (why: string) =>
    new Error(`${why}: ${JSON.stringify(bytes.toString('latin1'))} gave ${JSON.stringify(received)}`)
  if (received.startsWith('hangs')) throw fail('A hang')
  const all = [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  const status = all[0] ?? 0
  if (framed && all.length !== 1) throw fail(`${all.length} answers`)
  if (all.length > 1) throw fail(`${all.length} answers`)
  // 505 is the right answer to a changed HTTP version.
  if (status >= 500 && ![501, 504, 505].includes(status)) throw fail(`A failure ${status}`)
  return status
}

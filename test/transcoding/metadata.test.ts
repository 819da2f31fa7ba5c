import test from 'ava'
import {
  type MetadataOptions,
  mayBeSet,
  type RequestHeaders,
  requestMetadata,
  responseHeaders,
  rpcHeaders,
  rpcMetadata,
  rpcTrailers,
  trailerHeaders,
} from '../../src/transcoding/metadata.ts'
import {caught, fieldOf, transcode} from './schema.ts'

/** Request headers, and the metadata that they become, or the header that the error names. */
const requests: [key: string, headers: RequestHeaders, outcome: unknown[] | string, options?: MetadataOptions][] = [
  [
    'the allow list',
    {'x-request-id': 'a', traceparent: 'b', tracestate: 'c'},
    [
      ['x-request-id', 'a'],
      ['traceparent', 'b'],
      ['tracestate', 'c'],
    ],
  ],
  [
    'the allow list',
    {'x-cloud-trace-context': 'a', 'accept-language': 'b'},
    [
      ['x-cloud-trace-context', 'a'],
      ['accept-language', 'b'],
    ],
  ],
  ['nothing else', {'x-other': 'a', accept: 'b', 'user-agent': 'c', host: 'd'}, []],
  ['the prefix taken off', {'grpc-metadata-request-id': 'a'}, [['request-id', 'a']]],
  [
    'the prefix taken off',
    {'Grpc-Metadata-Request-Id': ['a', 'b']},
    [
      ['request-id', 'a'],
      ['request-id', 'b'],
    ],
  ],
  ['the prefix alone', {'grpc-metadata-': 'a'}, []],
  ['never cookies', {cookie: 'a', 'set-cookie': ['b'], 'grpc-metadata-cookie': 'c'}, []],
  ['never authorization', {authorization: 'a', 'grpc-metadata-authorization': 'b'}, []],
  ['never authorization, of Cloud Run either', {'grpc-metadata-x-serverless-authorization': 'b'}, []],
  ['authorization when asked for', {authorization: 'a'}, [['authorization', 'a']], {authorization: true}],
  [
    'authorization when asked for, never a second one',
    {authorization: 'a', 'Grpc-Metadata-Authorization': 'b'},
    [['authorization', 'a']],
    {authorization: true},
  ],
  ['authorization when asked for, by its own name', {'grpc-metadata-authorization': 'b'}, [], {authorization: true}],
  ['never grpc-*', {'grpc-timeout': '1S', 'grpc-metadata-grpc-timeout': '1S', 'grpc-encoding': 'gzip'}, []],
  ['never hop-by-hop', {connection: 'a', te: 'b', 'grpc-metadata-te': 'c', 'grpc-metadata-transfer-encoding': 'd'}, []],
  [
    'never what Connection nominates',
    {
      connection: 'close, Accept-Language ,grpc-metadata-a',
      'accept-language': 'a',
      'Grpc-Metadata-A': 'b',
      traceparent: 'c',
    },
    [['traceparent', 'c']],
  ],
  [
    'never what Connection nominates, with the prefix or without',
    {connection: 'X-Hop', 'grpc-metadata-x-hop': 'a', 'grpc-metadata-x-end': 'b'},
    [['x-end', 'b']],
  ],
  [
    'never what Connection nominates, in several headers of it',
    {connection: ['close', 'x-hop,traceparent'], 'grpc-metadata-x-hop': 'a', traceparent: 'b'},
    [],
  ],
  [
    'an allow list of keys',
    {'grpc-metadata-x-tenant': 'a', 'Grpc-Metadata-X-Locale': 'b', 'grpc-metadata-x-other': 'c', 'x-tenant': 'd'},
    [
      ['x-tenant', 'a'],
      ['x-locale', 'b'],
    ],
    {keys: new Set(['x-tenant', 'x-locale'])},
  ],
  [
    'an allow list of keys: what goes under its own name is not of it',
    {traceparent: 'a', 'accept-language': 'b', authorization: 'c', 'grpc-metadata-a': 'd'},
    [
      ['traceparent', 'a'],
      ['accept-language', 'b'],
      ['authorization', 'c'],
    ],
    {keys: new Set(['x-tenant']), authorization: true},
  ],
  [
    'an allow list of keys: never what no caller may set',
    {'grpc-metadata-x-goog-authenticated-user-email': 'a', 'grpc-metadata-cookie': 'b'},
    [],
    {keys: new Set(['x-goog-authenticated-user-email', 'cookie'])},
  ],
  [
    'never what proves to us who the caller is',
    {'grpc-metadata-x-key': 'a', 'grpc-metadata-x_key': 'b', 'grpc-metadata-x-keys': 'c'},
    [['x-keys', 'c']],
    {proofs: new Set(['x-key'])},
  ],
  [
    'invalid metadata is dropped when asked for',
    {'grpc-metadata-a': 'é', 'grpc-metadata-b-bin': '***', 'grpc-metadata-c': 'd'},
    [['c', 'd']],
    {dropInvalid: true},
  ],
  ['-bin is base64', {'grpc-metadata-a-bin': '_wA'}, [['a-bin', Uint8Array.of(0xff, 0)]]],
  [
    '-bin is base64',
    {'grpc-metadata-a-bin': 'AQ==, Ag'},
    [
      ['a-bin', Uint8Array.of(1)],
      ['a-bin', Uint8Array.of(2)],
    ],
  ],
  ['a bad -bin is 400', {'grpc-metadata-a-bin': '***'}, 'grpc-metadata-a-bin'],
  ['invalid metadata is 400', {'grpc-metadata-a': 'é'}, 'grpc-metadata-a'],
  ['invalid metadata is 400', {'accept-language': 'a\u0001'}, 'accept-language'],
  ['invalid metadata is 400', {'grpc-metadata-a!': 'b'}, 'grpc-metadata-a!'],
]

for (const [key, headers, outcome, options] of requests) {
  test(`metadata: ${key}: ${JSON.stringify(headers)}`, (t) => {
    if (typeof outcome === 'string') t.is(fieldOf(caught(() => requestMetadata(headers, options))), outcome)
    else t.deepEqual(requestMetadata(headers, options) as unknown[], outcome)
  })
}

test('metadata: what the clients set for each call is not taken from the request, and is no reason to refuse it', (t) => {
  const transcoder = transcode([{get: '/a'}])
  const match = transcoder.route('GET', '/a')
  if ('status' in match) return t.fail()
  const names = ['x-request-id', 'traceparent', 'tracestate', 'x-cloud-trace-context']
  const headers = {...Object.fromEntries(names.map((name) => [name, 'é'])), 'accept-language': 'de'}
  t.deepEqual(transcoder.exchange(match, {headers, hasBody: false})?.metadata as unknown[], [['accept-language', 'de']])
})

test('metadata: a call has the routing header of its path, over a WebSocket too', (t) => {
  const transcoder = transcode([{post: '/a/{name}', body: '*'}])
  const match = transcoder.route('POST', '/a/b%2Fc')
  if ('status' in match) return t.fail()
  const routing = [['x-goog-request-params', 'name=b%2Fc']]
  t.deepEqual(transcoder.exchange(match, {headers: {}, hasBody: false})?.metadata as unknown[], routing)
  t.deepEqual(transcoder.frames(match, {headers: {}, hasBody: false}).metadata as unknown[], routing)
})

/** Headers of an RPC request, which are metadata under their own names. */
const rpcRequests: [key: string, headers: RequestHeaders, outcome: unknown[], options?: MetadataOptions][] = [
  [
    'any header',
    {'x-tenant': ['a', 'b'], traceparent: 'c'},
    [
      ['x-tenant', 'a'],
      ['x-tenant', 'b'],
      ['traceparent', 'c'],
    ],
  ],
  [
    'nothing of HTTP, browsers and the protocol',
    {accept: 'a', origin: 'b', 'sec-fetch-site': 'c', 'connect-timeout-ms': '1', 'x-grpc-web': '1', 'if-match': 'd'},
    [],
  ],
  [
    'what the caller accepts as language',
    {'accept-language': 'de', 'accept-charset': 'b'},
    [['accept-language', 'de']],
  ],
  ['no authorization', {authorization: 'a'}, []],
  ['authorization when asked for', {authorization: 'a'}, [['authorization', 'a']], {authorization: true}],
  ['no header of front ends', {'x-forwarded-for': 'a', x_forwarded_for: 'b', cookie: 'c', 'grpc-timeout': '1S'}, []],
  [
    'an allow list of keys',
    {'x-tenant': 'a', 'x-locale': 'b', traceparent: 'c'},
    [
      ['x-tenant', 'a'],
      ['traceparent', 'c'],
    ],
    {keys: new Set(['x-tenant'])},
  ],
  [
    'never what proves who the caller is',
    {'x-key': 'a', x_key: 'b', 'x-keys': 'c'},
    [['x-keys', 'c']],
    {proofs: new Set(['x-key'])},
  ],
  ['never what Connection nominates', {connection: 'x-hop', 'x-hop': 'a', 'x-end': 'b'}, [['x-end', 'b']]],
  ['what metadata cannot hold is dropped', {'x-a': 'é', 'x-b!': 'a', 'x-c-bin': 'AQ'}, [['x-c-bin', Uint8Array.of(1)]]],
]

for (const [key, headers, outcome, options] of rpcRequests) {
  test(`metadata of RPC: ${key}: ${JSON.stringify(headers)}`, (t) => {
    t.deepEqual(rpcMetadata(headers, options) as unknown[], outcome)
  })
}

test('metadata of RPC: to headers and trailers of the same name, bytes in base64 without padding', (t) => {
  const metadata = [
    ['request-id', 'a'],
    ['b-bin', Uint8Array.of(0xff)],
    ['grpc-status', '0'],
    ['set-cookie', 'c'],
    ['location', 'd'],
    ['connect-content-encoding', 'e'],
  ] as const
  const both = [
    ['request-id', 'a'],
    ['b-bin', '/w'],
  ]
  t.deepEqual(rpcHeaders(metadata) as string[][], both)
  t.deepEqual(rpcTrailers(metadata) as string[][], [...both, ['location', 'd'], ['connect-content-encoding', 'e']])
})

test('metadata: to grpc-metadata-*, trailers to grpc-trailer-*, bytes to base64, without what is gRPC’s own', (t) => {
  const metadata = [
    ['request-id', 'a'],
    ['b-bin', Uint8Array.of(0xff)],
    ['grpc-status', '0'],
    ['content-type', 'application/grpc'],
    ['set-cookie', 'c'],
  ] as const
  t.deepEqual(responseHeaders(metadata), [
    ['grpc-metadata-request-id', 'a'],
    ['grpc-metadata-b-bin', '/w=='],
  ])
  t.deepEqual(trailerHeaders(metadata), [
    ['grpc-trailer-request-id', 'a'],
    ['grpc-trailer-b-bin', '/w=='],
  ])
})

const forged = [
  ...['x-goog-authenticated-user-email', 'x-goog-iap-jwt-assertion', 'x-goog-anything', 'X-Goog_Authenticated_User_Id'],
  ...['x-endpoint-api-userinfo', 'x-endpoint-api-consumer-type', 'x-apigateway-api-userinfo', 'x-apigateway-anything'],
  ...['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-client-cert', 'x-forwarded-anything', 'x-forwarded'],
  ...['forwarded', 'via', 'x-real-ip', 'X_Real_IP', 'x-client-ip', 'x-cluster-client-ip', 'true-client-ip'],
  ...['x-envoy-external-address', 'x-envoy-original-path', 'x-envoy-anything', 'x-original-uri', 'x-client-cert-leaf'],
  ...['x-appengine-user-ip', 'x-cloudtasks-queuename', 'x-cloudscheduler', 'x-cloudscheduler-jobname'],
  ...[
    'expect',
    'content-encoding',
    'accept-encoding',
    'connection',
    'keep-alive',
    'te',
    'trailer',
    'transfer-encoding',
  ],
  ...['upgrade', 'proxy-connection', 'proxy-authorization', 'proxy-authenticate', 'http2-settings', 'content-length'],
  ...['x-verified', 'x-verified-claims-bin', 'X_Verified_Claims-Bin'],
  ...['x-serverless-authorization', 'X-Serverless_Authorization', 'authorization', 'cookie', 'host', 'grpc-timeout'],
]

for (const name of forged) {
  test(`metadata: no caller can set ${name}`, (t) => {
    t.deepEqual(requestMetadata({[`grpc-metadata-${name}`]: 'a', [name.toLowerCase()]: 'a'}), [])
    t.false(mayBeSet(name.toLowerCase()))
  })
}

test('metadata: similar names are forwarded', (t) => {
  const names = [
    'x-goods',
    'x-google',
    'x-forward-to',
    'x-environment',
    'endpoint',
    'my-forwarded',
    'x-tenant',
    'expected',
  ]
  const headers = Object.fromEntries(names.map((name) => [`grpc-metadata-${name}`, 'a']))
  t.deepEqual(
    requestMetadata(headers).map(([key]) => key),
    names.filter((name) => name !== 'x-google'),
  )
})

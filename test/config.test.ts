import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {text} from 'node:stream/consumers'
import test from 'ava'
import {frameworkMain} from '../local/functions.ts'
import {ConfigError, readConfig, upperSnake} from '../src/core/config.ts'
import {isNamedBy, read, type SettingName, settings} from '../src/core/settings.ts'
import {compileCache} from './helpers/compile-cache.ts'

const url = '"https://" (or "http://" for plaintext) and a host, such as "https://ping-xyz.a.run.app"'
const storage = '"host:port", or a URL such as "http://localhost:4443"; "/storage/v1" may follow'
const https = {BACKEND_URL: 'https://ping-xyz.a.run.app'}

for (const [env, message] of [
  [{BACKEND_URL: 'ping-xyz.a.run.app'}, `BACKEND_URL="ping-xyz.a.run.app": expected ${url}`],
  [{BACKEND_URL: 'localhost:9090'}, `BACKEND_URL="localhost:9090": expected ${url}`],
  [{BACKEND_URL: 'grpc://there'}, `BACKEND_URL="grpc://there": expected ${url}`],
  [{BACKEND_URL: 'https:there'}, `BACKEND_URL="https:there": expected ${url}`],
  [{BACKEND_URL: 'https://'}, `BACKEND_URL="https://": expected ${url}`],
  [{BACKEND_URL: 'https://there/path'}, `BACKEND_URL="https://there/path": expected ${url}`],
  [{BACKEND_URL: 'https://there?a=b'}, `BACKEND_URL="https://there?a=b": expected ${url}`],
  [{BACKEND_URL: 'https://there#a'}, `BACKEND_URL="https://there#a": expected ${url}`],
  [{BACKEND_URL: 'https://me@there'}, `BACKEND_URL="https://me@there": expected ${url}`],
  [{BACKEND_URL: 'https://there:0'}, `BACKEND_URL="https://there:0": expected ${url}`],
  [{BACKEND_URL: 'https://there:65536'}, `BACKEND_URL="https://there:65536": expected ${url}`],
  [
    {BACKEND_URL: 'https://10.0.0.1'},
    'BACKEND_URL="https://10.0.0.1": expected a host name after "https://", not an address',
  ],
  [
    {BACKEND_URL_REPO: 'https://[::1]:8443'},
    'BACKEND_URL_REPO="https://[::1]:8443": expected a host name after "https://", not an address',
  ],
  [{BACKEND_URL: 'two\nlines'}, `BACKEND_URL="two\\nlines": expected ${url}`],
  [{BACKEND_URL_PING_SERVICE: 'nonsense'}, `BACKEND_URL_PING_SERVICE="nonsense": expected ${url}`],
  [
    {BACKEND_URL: 'http://there', BACKEND_AUDIENCE: 'https://there'},
    'BACKEND_AUDIENCE="https://there": expected "none", or https in BACKEND_URL="http://there": an ID token never travels in the clear',
  ],
  [
    {BACKEND_URL: 'http://127.0.0.1.evil.com', BACKEND_AUDIENCE: 'a'},
    'BACKEND_AUDIENCE="a": expected "none", or https in BACKEND_URL="http://127.0.0.1.evil.com": an ID token never travels in the clear',
  ],
  [
    {BACKEND_URL_REPO: 'http://10.0.0.1', BACKEND_AUDIENCE_REPO: 'a'},
    'BACKEND_AUDIENCE_REPO="a": expected "none", or https in BACKEND_URL_REPO="http://10.0.0.1": an ID token never travels in the clear',
  ],
  [
    {BACKEND_AUDIENCE: 'https://there'},
    'BACKEND_AUDIENCE="https://there": expected BACKEND_URL beside it, the URL that it is the audience of',
  ],
  [
    {...https, BACKEND_AUDIENCE_REPO: 'https://there'},
    'BACKEND_AUDIENCE_REPO="https://there": expected BACKEND_URL_REPO beside it, the URL that it is the audience of',
  ],
  [{...https, BACKEND_AUDIENCE: 'a b'}, 'BACKEND_AUDIENCE="a b": expected an audience without spaces, or "none"'],
  [{...https, BACKEND_AUDIENCE: 'a\nb'}, 'BACKEND_AUDIENCE="a\\nb": expected an audience without spaces, or "none"'],
  [{CLOUD_RUN_TIMEOUT_SECONDS: 'soon'}, 'CLOUD_RUN_TIMEOUT_SECONDS="soon": expected seconds, from 2 to 3600'],
  [{CLOUD_RUN_TIMEOUT_SECONDS: '1'}, 'CLOUD_RUN_TIMEOUT_SECONDS="1": expected seconds, from 2 to 3600'],
  [{CLOUD_RUN_TIMEOUT_SECONDS: '3601'}, 'CLOUD_RUN_TIMEOUT_SECONDS="3601": expected seconds, from 2 to 3600'],
  [{CLOUD_RUN_TIMEOUT_SECONDS: '-5'}, 'CLOUD_RUN_TIMEOUT_SECONDS="-5": expected seconds, from 2 to 3600'],
  [{CLOUD_RUN_TIMEOUT_SECONDS: 'NaN'}, 'CLOUD_RUN_TIMEOUT_SECONDS="NaN": expected seconds, from 2 to 3600'],
  [{CLOUD_RUN_TIMEOUT_SECONDS: 'Infinity'}, 'CLOUD_RUN_TIMEOUT_SECONDS="Infinity": expected seconds, from 2 to 3600'],
  [{STORAGE_STALL_SECONDS: '0'}, 'STORAGE_STALL_SECONDS="0": expected seconds, from 0.001 to 3600'],
  [{GATEWAY_MAX_BODY_BYTES: '1MiB'}, 'GATEWAY_MAX_BODY_BYTES="1MiB": expected a whole number, from 1 to 1073741824'],
  [{GATEWAY_MAX_BODY_BYTES: '1e3'}, 'GATEWAY_MAX_BODY_BYTES="1e3": expected a whole number, from 1 to 1073741824'],
  [{GATEWAY_MAX_BODY_BYTES: '1.5'}, 'GATEWAY_MAX_BODY_BYTES="1.5": expected a whole number, from 1 to 1073741824'],
  [
    {GATEWAY_MAX_BODY_BYTES: '1073741825'},
    'GATEWAY_MAX_BODY_BYTES="1073741825": expected a whole number, from 1 to 1073741824',
  ],
  [{MCP: 'yes'}, 'MCP="yes": expected "true" or "false"'],
  [{TRUSTED_HOPS: '11'}, 'TRUSTED_HOPS="11": expected a number of hops, from 0 to 10'],
  [{TRUSTED_HOPS: '0x1'}, 'TRUSTED_HOPS="0x1": expected a number of hops, from 0 to 10'],
  ...['100', '0/60s', '100/0s', '100/60', '100/1d', '1.5/60s', '100/25h', '100/86401s', '-1/60s'].map(
    (text) =>
      [
        {RATE_LIMIT: text},
        `RATE_LIMIT="${text}": expected requests and a window of time, such as "100/60s", "1000/5m" or "5000/1h", up to a day`,
      ] as const,
  ),
  ...['creatorId={metadata}', 'creatorId={objekt}', 'creatorId={object', 'creatorId', '; '].map(
    (text) =>
      [
        {UPLOAD_CONTEXT: text},
        `UPLOAD_CONTEXT="${text}": expected fields of the context with their templates, separated by semicolons, such as "creatorId={metadata.creator}; name={object}". Templates can contain {bucket}, {object}, {generation}, {contentType} and {metadata.KEY}`,
      ] as const,
  ),
  ...['*', 'ping.PingService/*', 'a/b/c', '/ok,b/'].map(
    (text) =>
      [
        {AUTH: 'jwt', AUTH_PUBLIC: text},
        `AUTH_PUBLIC="${text}": expected "none", or methods such as "pkg.Service/Method", services, or paths such as "/openapi.json", separated by commas, semicolons, bars or spaces`,
      ] as const,
  ),
  [{GATEWAY_MAX_BODY_VALUES: '0'}, 'GATEWAY_MAX_BODY_VALUES="0": expected a whole number, from 1 to 1000000000'],
  [{MAX_CONCURRENT_REQUESTS: '-1'}, 'MAX_CONCURRENT_REQUESTS="-1": expected a whole number, from 1 to 1000000'],
  [
    {GATEWAY_MAX_DECODING_BYTES: '1000000'},
    'GATEWAY_MAX_DECODING_BYTES="1000000": expected at least GATEWAY_MAX_BODY_BYTES="1048576"',
  ],
  [{PORT: 'http'}, 'PORT="http": expected a port, from 0 to 65535'],
  [{PORT: '65536'}, 'PORT="65536": expected a port, from 0 to 65535'],
  [{PORT: '-1'}, 'PORT="-1": expected a port, from 0 to 65535'],
  [{PORT: '80.5'}, 'PORT="80.5": expected a port, from 0 to 65535'],
  [{LOG_LEVEL: 'loud'}, 'LOG_LEVEL="loud": expected one of trace, debug, info, warn, error, fatal, silent'],
  [{GCE_METADATA_HOST: 'http://there'}, 'GCE_METADATA_HOST="http://there": expected a host or host:port'],
  ...[
    'http://',
    'ftp://there',
    'http://there/other',
    'there:0',
    'there?a=b',
    'me@there',
    'there:port',
    'two words',
  ].map(
    (text) =>
      [{STORAGE_EMULATOR_HOST: text}, `STORAGE_EMULATOR_HOST=${JSON.stringify(text)}: expected ${storage}`] as const,
  ),
  [
    {K_SERVICE: 'x'},
    'AUTH is not set: expected "iam" (only callers that Cloud Run\'s IAM lets in), "jwt" (callers with a token of AUTH_ISSUERS or a key of AUTH_API_KEYS) or "none" (anybody)',
  ],
  [{AUTH: 'yes'}, 'AUTH="yes": expected one of iam, jwt, none'],
  [{AUTH: 'jwt'}, 'AUTH="jwt": expected AUTH_ISSUERS, AUTH_API_KEYS or AUTH_WEBHOOK beside it'],
  [{AUTH: 'none', AUTH_PUBLIC: '/x'}, 'AUTH_PUBLIC="/x": expected AUTH="jwt" beside it: nothing else checks who calls'],
  [{AUTH_API_KEYS: '/x'}, 'AUTH_API_KEYS="/x": expected AUTH="jwt" beside it: nothing else checks who calls'],
  [
    {AUTH: 'iam', UPLOAD_CREATOR: 'sub'},
    'UPLOAD_CREATOR="sub": expected AUTH="jwt" beside it: nothing else checks who calls',
  ],
  ...[
    'https://idp.example',
    'https://idp.example audience=',
    'http://idp.example audience=a',
    'idp.example audience=a',
    'https://idp.example?a=b audience=a',
    'https://idp.example audience=a jwks=http://idp.example/keys',
    'https://idp.example audience=a header=authorization',
    'https://idp.example audience=a header=Cookie',
    'https://idp.example audience=a header=host',
    'https://me:secret@idp.example audience=a',
    'https://idp.example#a audience=a',
    'https://idp.example audience=a jwks=https://me:secret@idp.example/keys',
    'https://idp.example audience=a header=x-api-key',
    'https://idp.example audience=a algorithm=none',
    'https://idp.example audience=a audience=b',
    ';',
  ].map(
    (text) =>
      [
        {AUTH: 'jwt', AUTH_ISSUERS: text},
        `AUTH_ISSUERS=${JSON.stringify(text)}: expected "issuer audience=…", with "jwks=URL" and "header=NAME" where needed, issuers separated by semicolons; URLs with https`,
      ] as const,
  ),
  ...['ping', 'ping a', 'ping =a', 'ping a=', '*/x a=b', '/ping a=b', 'ping a=b; c'].map(
    (text) =>
      [
        {AUTH: 'jwt', AUTH_ALLOW: text},
        `AUTH_ALLOW=${JSON.stringify(text)}: expected "pkg.Service claim=value|value" or "pkg.Service/Method claim=value", rules separated by semicolons`,
      ] as const,
  ),
  ...[
    '/a github',
    '/a gitlab secret=/s',
    '/a secret=/s',
    '/a header=x secret=/s algorithm=md5',
    '/a header=x secret=/s encoding=none',
    '/a github header=x secret=/s',
    '*/a github secret=/s',
    // A service has many methods, but a signature is for one.
    'hooks.Hooks github secret=/s',
  ].map(
    (text) =>
      [
        {AUTH: 'jwt', AUTH_WEBHOOK: text},
        `AUTH_WEBHOOK=${JSON.stringify(text)}: expected "pkg.Service/Method github secret=FILE" (or stripe, slack), or "/path header=NAME algorithm=sha256 encoding=hex secret=FILE", rows separated by semicolons`,
      ] as const,
  ),
  [
    {AUTH: 'jwt', AUTH_WEBHOOK: '/a github secret=/s; /a stripe secret=/t'},
    'AUTH_WEBHOOK="/a github secret=/s; /a stripe secret=/t": expected one row for each target',
  ],
  [
    {AUTH: 'jwt', K_SERVICE: 'x', AUTH_ISSUERS: 'http://localhost:1 audience=a'},
    'AUTH_ISSUERS="http://localhost:1 audience=a": expected URLs with https on Cloud Run',
  ],
  [{GCE_METADATA_HOST: 'there/path'}, 'GCE_METADATA_HOST="there/path": expected a host or host:port'],
] as const) {
  test(`${JSON.stringify(env)} is refused in one line that says what was expected`, (t) => {
    const error = t.throws(() => readConfig(env), {instanceOf: ConfigError})
    t.is(error?.message, message)
    t.false(error?.message.includes('\n'))
  })
}

for (const [name, known] of [
  ['CORS_ORIGIN', 'CORS_ORIGINS'],
  ['AUTH_ISSUER', 'AUTH_ISSUERS'],
  ['AUTH_ALOW', 'AUTH_ALLOW'],
  ['AUTH_ISUER', 'AUTH_ISSUERS'],
  ['RATE_LIMITS', 'RATE_LIMIT'],
  ['GATEWAY_MAX_BODY_BYTES_', 'GATEWAY_MAX_BODY_BYTES'],
  ['AUTH_API_KEY', 'AUTH_API_KEYS'],
  ['GATEWAY_SERVICE', 'GATEWAY_SERVICES'],
  ['GATEWAY_DESCRIPTOR_SET', 'GATEWAY_DESCRIPTORS'],
  ['UPLOAD_BUCKET', 'UPLOAD_BUCKETS'],
  ['UPLOAD_buckets', 'UPLOAD_BUCKETS'],
  ['BACKEND_', 'BACKEND_URL'],
  ['BACKEND_URI', 'BACKEND_URL'],
  ['BACKEND_URLS', 'BACKEND_URL'],
  ['BACKEND_URI_REPO', 'BACKEND_URL_REPO'],
  ['BACKEND_URL_ping_service', 'BACKEND_URL_PING_SERVICE'],
  ['BACKEND_URL_PING-SERVICE', 'BACKEND_URL_PING_SERVICE'],
  ['BACKEND_AUDIENCES_REPO', 'BACKEND_AUDIENCE_REPO'],
  ['MAX_CONCURRENT_REQUEST', 'MAX_CONCURRENT_REQUESTS'],
  ['TRUSTED_HOP', 'TRUSTED_HOPS'],
  ['EVENT_STREAM_PING_SECOND', 'EVENT_STREAM_PING_SECONDS'],
  ['STORAGE_STALL_SECOND', 'STORAGE_STALL_SECONDS'],
] as const) {
  test(`${name} is refused: did you mean ${known}`, (t) => {
    const error = t.throws(() => readConfig({...https, [name]: 'x'}), {instanceOf: ConfigError})
    t.is(error?.message, `${name} is not a known variable: did you mean ${known}?`)
  })
}

test('every unknown variable has a line, unless it belongs to another program', (t) => {
  const others = {
    CORS: 'x',
    PATH: '/bin',
    STORAGE_CLASS: 'x',
    EVENT_ID: 'x',
    AUTH_TOKEN: 'x',
    MAX_CONCURRENT_JOBS: 'x',
    TRUSTED_HOSTS: 'x',
    GATEWAY: 'x',
    CORS_ORIGIN: '',
  }
  t.notThrows(() => readConfig({...https, ...others}))
  const error = t.throws(() => readConfig({...https, ...others, CORS_ORIGIN: 'x', GATEWAY_ERROR: 'x'}))
  t.deepEqual(error?.message.split('\n'), [
    'CORS_ORIGIN is not a known variable: did you mean CORS_ORIGINS?',
    'GATEWAY_ERROR is not a known variable: did you mean GATEWAY_ERRORS?',
  ])
})

test('a list may have every separator that gcloud passes on', (t) => {
  for (const text of ['a,b', 'a, b', 'a b', ' a\tb ', 'a;b', 'a|b', 'a\nb', ',a,,b,']) {
    const {uploadBuckets, gateway} = readConfig({UPLOAD_BUCKETS: text, GATEWAY_SERVICES: text})
    t.deepEqual(
      [[...uploadBuckets], gateway.services],
      [
        ['a', 'b'],
        ['a', 'b'],
      ],
      text,
    )
  }
  t.throws(() => readConfig({UPLOAD_BUCKETS: ' , '}), {
    message: 'UPLOAD_BUCKETS=" , ": expected names, separated by commas, semicolons, bars or spaces',
  })
})

for (const [text, ...expected] of [
  ['*', '*'],
  ['https://a.example', 'https://a.example'],
  ['https://a.example, http://b.example:8080', 'https://a.example', 'http://b.example:8080'],
  ['HTTPS://A.example:443', 'https://a.example'],
  ['http://localhost:*;http://[::1]:*', 'http://localhost:*', 'http://[::1]:*'],
  ['null|capacitor://localhost', 'null', 'capacitor://localhost'],
] as const) {
  test(`CORS_ORIGINS="${text}" is read in the form that browsers send`, (t) => {
    t.deepEqual([...readConfig({CORS_ORIGINS: text}).corsOrigins], expected)
  })
}

for (const text of [
  'a.example',
  'https://a.example/',
  'https://a.example/path',
  'https://*.example',
  'https://a.example:x',
  'https://a@b.example',
  'https://a.example b.example',
]) {
  test(`CORS_ORIGINS="${text}" is refused: no page has this origin`, (t) => {
    const {message} = t.throws(() => readConfig({CORS_ORIGINS: text}), {instanceOf: ConfigError})!
    t.true(message.startsWith(`CORS_ORIGINS="${text}": expected origins such as "https://app.example"`))
  })
}

for (const [text, servers] of [
  ['https://api.example.com', ['https://api.example.com']],
  ['https://api.example.com/v1/, http://localhost:8080', ['https://api.example.com/v1', 'http://localhost:8080']],
  ['/v1', ['/v1']],
  ['', ['/']],
  ['api.example.com', undefined],
  ['ftp://api.example.com', undefined],
  ['https://', undefined],
  ['https://a b:c', undefined],
  ['https://there?a=b', undefined],
  ['//there', undefined],
] as const) {
  test(`OPENAPI_SERVERS="${text}" is ${servers?.join(' and ') ?? 'refused'}`, (t) => {
    const set = () => readConfig({OPENAPI_SERVERS: text}).openApi.servers
    if (servers) t.deepEqual(set(), servers)
    else t.throws(set, {instanceOf: ConfigError, message: /^OPENAPI_SERVERS=".*": expected URLs such as /})
  })
}

for (const [text, security] of [
  ['', undefined],
  ['none', []],
  [
    'bearer,header:x-api-key query:key;basic',
    [
      {type: 'http', scheme: 'bearer'},
      {type: 'apiKey', in: 'header', name: 'x-api-key'},
      {type: 'apiKey', in: 'query', name: 'key'},
      {type: 'http', scheme: 'basic'},
    ],
  ],
  [
    'https://a.example/.well-known/openid-configuration',
    [{type: 'openIdConnect', openIdConnectUrl: 'https://a.example/.well-known/openid-configuration'}],
  ],
] as const) {
  test(`OPENAPI_SECURITY="${text}" is the security of the document`, (t) => {
    t.deepEqual(readConfig({OPENAPI_SECURITY: text}).openApi.security, security)
  })
}

for (const text of ['oauth', 'bearer none', 'header:', 'header:a b', 'cookie:a', 'http://a.example/x', 'https://']) {
  test(`OPENAPI_SECURITY="${text}" is refused`, (t) => {
    const set = () => readConfig({OPENAPI_SECURITY: text})
    t.throws(set, {instanceOf: ConfigError, message: /^OPENAPI_SECURITY=".*": expected "none", or some of "bearer", /})
  })
}

test('a service without a URL is refused with the names of the variables that would set one', (t) => {
  const config = readConfig({BACKEND_URL_REPO: 'https://repo'})
  t.throws(() => config.backendOf('ping.PingService'), {
    instanceOf: ConfigError,
    message: `BACKEND_URL_PING_SERVICE and BACKEND_URL are not set: expected the URL of ping.PingService, ${url}`,
  })
})

for (const [env, backend] of [
  [
    https,
    {
      url: 'https://ping-xyz.a.run.app',
      address: 'ping-xyz.a.run.app:443',
      host: 'ping-xyz.a.run.app',
      tls: true,
      audience: 'https://ping-xyz.a.run.app',
    },
  ],
  [
    {BACKEND_URL: 'https://there:8443/'},
    {url: 'https://there:8443', address: 'there:8443', host: 'there:8443', tls: true, audience: 'https://there'},
  ],
  [
    {BACKEND_URL: 'HTTPS://There'},
    {url: 'https://there', address: 'there:443', host: 'there', tls: true, audience: 'https://there'},
  ],
  [
    {BACKEND_URL: 'http://localhost:9090'},
    {url: 'http://localhost:9090', address: 'localhost:9090', host: 'localhost:9090', tls: false, audience: undefined},
  ],
  [
    {BACKEND_URL: 'http://there'},
    {url: 'http://there', address: 'there:80', host: 'there', tls: false, audience: undefined},
  ],
  [
    {BACKEND_URL: 'http://there', BACKEND_AUDIENCE: 'none'},
    {url: 'http://there', address: 'there:80', host: 'there', tls: false, audience: undefined},
  ],
  [
    {...https, BACKEND_AUDIENCE: 'none'},
    {
      url: 'https://ping-xyz.a.run.app',
      address: 'ping-xyz.a.run.app:443',
      host: 'ping-xyz.a.run.app',
      tls: true,
      audience: undefined,
    },
  ],
  [
    {...https, BACKEND_AUDIENCE: 'custom'},
    {
      url: 'https://ping-xyz.a.run.app',
      address: 'ping-xyz.a.run.app:443',
      host: 'ping-xyz.a.run.app',
      tls: true,
      audience: 'custom',
    },
  ],
  [
    {...https, BACKEND_AUDIENCE: ''},
    {
      url: 'https://ping-xyz.a.run.app',
      address: 'ping-xyz.a.run.app:443',
      host: 'ping-xyz.a.run.app',
      tls: true,
      audience: 'https://ping-xyz.a.run.app',
    },
  ],
  [
    {BACKEND_URL: 'http://[::1]:9090', BACKEND_AUDIENCE: 'a'},
    {url: 'http://[::1]:9090', address: '[::1]:9090', host: '[::1]:9090', tls: false, audience: 'a'},
  ],
  [
    {BACKEND_URL: 'http://127.0.0.1:1', BACKEND_AUDIENCE: 'a'},
    {url: 'http://127.0.0.1:1', address: '127.0.0.1:1', host: '127.0.0.1:1', tls: false, audience: 'a'},
  ],
] as const) {
  test(`${JSON.stringify(env)} is a backend`, (t) => {
    const config = readConfig(env)
    const whole = {...backend, tokenHeader: 'authorization'}
    t.deepEqual(config.backendOf('ping.PingService'), whole)
    t.deepEqual(config.backends, [whole])
  })
}

test("if callers' authorization is forwarded, our ID token has its own header", (t) => {
  const {backendOf} = readConfig({...https, GATEWAY_FORWARD_AUTHORIZATION: 'true'})
  t.is(backendOf('any').tokenHeader, 'x-serverless-authorization')
})

test('a service with its own URL has that URL, and its own audience', (t) => {
  const config = readConfig({
    BACKEND_URL: 'https://all',
    BACKEND_AUDIENCE: 'for-all',
    BACKEND_URL_PING_SERVICE: 'https://ping',
    BACKEND_URL_REPO: 'https://repo',
    BACKEND_AUDIENCE_REPO: 'for-repo',
  })
  const seen = (name: string) => [config.backendOf(name).url, config.backendOf(name).audience]
  t.deepEqual(seen('ping.PingService'), ['https://ping', 'https://ping'])
  t.deepEqual(seen('Repo'), ['https://repo', 'for-repo'])
  t.deepEqual(seen('acme.v1.Other'), ['https://all', 'for-all'])
  t.deepEqual(
    config.backends.map(({url}) => url),
    ['https://all', 'https://ping', 'https://repo'],
  )
})

test('services of the same URL have one backend', (t) => {
  const {backends, ownBackends} = readConfig({...https, BACKEND_URL_PING_SERVICE: https.BACKEND_URL})
  t.deepEqual(
    backends.map(({url}) => url),
    [https.BACKEND_URL],
  )
  t.deepEqual(ownBackends, ['PING_SERVICE'])
})

for (const [name, upper] of [
  ['ping.PingService', 'PING_SERVICE'],
  ['Repo', 'REPO'],
  ['acme.v1.HTTPServer', 'HTTP_SERVER'],
  ['acme.v1.Log4jService', 'LOG4J_SERVICE'],
  ['acme.v1.Base64Codec', 'BASE64_CODEC'],
] as const) {
  test(`the variables of ${name} end with ${upper}`, (t) => t.is(upperSnake(name), upper))
}

test('defaults of variables that are not set', (t) => {
  const {backends, uploadBuckets, requestTimeout, storageStall, metadataHost, projectId, logLevel} = readConfig({})
  t.deepEqual(
    {backends, uploadBuckets: [...uploadBuckets], requestTimeout, storageStall, metadataHost, projectId, logLevel},
    {
      backends: [],
      uploadBuckets: [],
      requestTimeout: 300_000,
      storageStall: 10_000,
      metadataHost: undefined,
      projectId: undefined,
      logLevel: 'info',
    },
  )
})

test('variables that are set', (t) => {
  const config = readConfig({
    UPLOAD_BUCKETS: ' one, two,,three ',
    CLOUD_RUN_TIMEOUT_SECONDS: '3600',
    STORAGE_STALL_SECONDS: '0.5',
    GCE_METADATA_HOST: '127.0.0.1:8080',
    GOOGLE_CLOUD_PROJECT: 'demo',
    LOG_LEVEL: 'debug',
    PORT: '0',
  })
  t.deepEqual([...config.uploadBuckets], ['one', 'two', 'three'])
  t.is(config.requestTimeout, 3_600_000)
  t.is(config.storageStall, 500)
  t.is(config.metadataHost, '127.0.0.1:8080')
  t.is(config.projectId, 'demo')
  t.is(config.logLevel, 'debug')
})

for (const [text, limit] of [
  ['100/60s', {requests: 100, window: 60_000}],
  ['1000/5m', {requests: 1000, window: 300_000}],
  ['5000/1h', {requests: 5000, window: 3_600_000}],
  ['1/24h', {requests: 1, window: 86_400_000}],
] as const) {
  test(`RATE_LIMIT="${text}" is ${limit.requests} in ${limit.window} ms`, (t) =>
    t.deepEqual(readConfig({RATE_LIMIT: text}).rateLimit, limit))
}

test('the least and the greatest value of a variable are accepted', (t) => {
  for (const [env, value] of [
    [{CLOUD_RUN_TIMEOUT_SECONDS: '2'}, 2000],
    [{CLOUD_RUN_TIMEOUT_SECONDS: '3600'}, 3_600_000],
  ] as const)
    t.is(readConfig(env).requestTimeout, value)
  t.is(readConfig({TRUSTED_HOPS: '10'}).trustedHops, 10)
  t.is(readConfig({BACKEND_CONNECT_TIMEOUT_SECONDS: '0.001'}).connectTimeout, 1)
  t.is(readConfig({GATEWAY_MAX_BODY_BYTES: '1'}).gateway.maxBodyBytes, 1)
  t.is(readConfig({GATEWAY_MAX_BODY_BYTES: '1073741824'}).gateway.maxBodyBytes, 1024 ** 3)
  t.notThrows(() => readConfig({PORT: '65535'}))
})

test('names of metadata keys are read in any case', (t) => {
  t.deepEqual(readConfig({GATEWAY_METADATA: 'X-Tenant, x-locale'}).gateway.metadata, ['x-tenant', 'x-locale'])
})

test('on Cloud Run tokens come from the metadata server, unless there is a key file', (t) => {
  t.is(readConfig({AUTH: 'iam', K_SERVICE: 'x'}).metadataHost, 'metadata.google.internal')
  t.is(readConfig({AUTH: 'iam', K_SERVICE: 'x', GOOGLE_APPLICATION_CREDENTIALS: '/key.json'}).metadataHost, undefined)
})

test('GCE_METADATA_IP has priority over GCE_METADATA_HOST', (t) => {
  t.is(readConfig({GCE_METADATA_HOST: 'metadata', GCE_METADATA_IP: '169.254.0.1'}).metadataHost, '169.254.0.1')
})

test('the function is that of the command line, or else FUNCTION_TARGET, or else app', (t) => {
  const target = (env: Record<string, string>, ...argv: string[]) =>
    readConfig(env, ['node', 'main.js', ...argv]).target
  t.is(target({FUNCTION_TARGET: 'ping'}, '--port=0', '--target=upload'), 'upload')
  t.is(target({FUNCTION_TARGET: 'ping'}, '--port=0'), 'ping')
  t.is(target({}), 'app')
})

test('log lines on Cloud Run are for Cloud Logging, also where the output is a terminal', (t) => {
  const {isTTY} = process.stdout
  t.teardown(() => Object.assign(process.stdout, {isTTY}))
  process.stdout.isTTY = true
  t.true(readConfig({}).logPretty)
  t.false(readConfig({AUTH: 'iam', K_SERVICE: 'x'}).logPretty)
})

test('the configuration reads only variables that have a row in the table', (t) => {
  const seen = new Set<string>()
  const env = new Proxy<Record<string, string>>(
    {BACKEND_URL_REPO: 'https://repo', BACKEND_AUDIENCE_REPO: 'for-repo', AUTH: 'iam', K_SERVICE: 'x'},
    {get: (given, name: string) => seen.add(name) && given[name]},
  )
  readConfig(env)
  const rows = Object.keys(settings)
  t.true(seen.size > 10)
  t.deepEqual(
    [...seen].filter((name) => !rows.some((row) => isNamedBy(row, name))),
    [],
  )
})

test('every default can be read by its own parser', (t) => {
  for (const name of Object.keys(settings)) t.notThrows(() => read({}, name as SettingName))
})

test('the configuration cannot be changed', (t) => {
  const config = readConfig(https)
  t.true(Object.isFrozen(config))
  t.true(Object.isFrozen(config.backendOf('Repo')))
})

for (const [title, target, env, line] of [
  [
    'no BACKEND_URL',
    'ping',
    {},
    `BACKEND_URL_PING_SERVICE and BACKEND_URL are not set: expected the URL of ping.PingService, ${url}`,
  ],
  ['a malformed BACKEND_URL', 'ping', {BACKEND_URL: 'there'}, `BACKEND_URL="there": expected ${url}`],
  [
    'a function that there is not',
    'pong',
    https,
    'FUNCTION_TARGET="pong": expected one of app, finalized, gateway, health, mcp, ping, upload',
  ],
  ['a malformed PORT', 'ping', {...https, PORT: 'web'}, 'PORT="web": expected a port, from 0 to 65535'],
] as const) {
  test(`the start with ${title} ends with one line that says so`, async (t) => {
    const child = spawn(process.execPath, [frameworkMain(), '--port=0'], {
      cwd: `${import.meta.dirname}/..`,
      env: {...compileCache, ...env, FUNCTION_TARGET: target, NODE_ENV: 'production'},
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [[code], out, err] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
    t.is(code, 1)
    t.is(out, '')
    t.regex(err, /^[^\n]+\n$/)
    if (typeof line === 'string') t.is(err, `${line}\n`)
    else t.regex(err, line)
  })
}

test('the limit of decoded bytes is at least the limit of a body, and at least 8 MiB', (t) => {
  t.is(readConfig({}).limits.decodingBytes, 8 * 1024 * 1024)
  t.is(readConfig({GATEWAY_MAX_BODY_BYTES: '33554432'}).limits.decodingBytes, 33554432)
  t.is(readConfig({GATEWAY_MAX_DECODING_BYTES: '2000000'}).limits.decodingBytes, 2000000)
  t.is(readConfig({GATEWAY_MAX_DECODING_BYTES: '1048576'}).limits.decodingBytes, 1048576)
})

test('the variables of AUTH are read as written', (t) => {
  const {auth} = readConfig({
    AUTH: 'jwt',
    K_SERVICE: 'x',
    AUTH_ISSUERS:
      'https://a.example/ audience=x|y jwks=https://b.example/keys;\n https://cloud.google.com/iap audience=/projects/1',
    AUTH_PUBLIC: 'ping.PingService/Send, /openapi.json',
    AUTH_ALLOW: 'users.Users hd=a.example|b.example email=a@b; users.Users/Get https://a.example/roles=x=y',
    AUTH_WEBHOOK:
      '/a github secret=/s/a; b.C/D header=X-Sign algorithm=sha512 encoding=base64 secret=/s/b; /c stripe secret=/s/c; /d slack secret=/s/d',
    OPENAPI_SERVERS: '/v1 https://api.example/v1/',
  })
  t.deepEqual(auth, {
    mode: 'jwt',
    isDecided: true,
    opensByContract: true,
    issuers: [
      {issuer: 'https://a.example/', audiences: ['x', 'y'], jwks: 'https://b.example/keys', header: undefined},
      {
        issuer: 'https://cloud.google.com/iap',
        audiences: ['/projects/1'],
        jwks: 'https://www.gstatic.com/iap/verify/public_key-jwk',
        header: 'x-goog-iap-jwt-assertion',
      },
    ],
    open: ['ping.PingService/Send', '/openapi.json'],
    allow: [
      {
        target: 'users.Users',
        conditions: [
          {claim: 'hd', values: ['a.example', 'b.example']},
          {claim: 'email', values: ['a@b']},
        ],
      },
      {target: 'users.Users/Get', conditions: [{claim: 'https://a.example/roles', values: ['x=y']}]},
    ],
    apiKeys: undefined,
    webhooks: [
      {
        target: '/a',
        form: 'github',
        header: 'x-hub-signature-256',
        algorithm: 'sha256',
        encoding: 'hex',
        secret: '/s/a',
      },
      {target: 'b.C/D', form: 'plain', header: 'x-sign', algorithm: 'sha512', encoding: 'base64', secret: '/s/b'},
      {target: '/c', form: 'stripe', header: 'stripe-signature', algorithm: 'sha256', encoding: 'hex', secret: '/s/c'},
      {target: '/d', form: 'slack', header: 'x-slack-signature', algorithm: 'sha256', encoding: 'hex', secret: '/s/d'},
    ],
    maxSignedBytes: 1048576,
    resource: 'https://api.example/v1',
  })
  t.is(readConfig({}).auth.mode, 'none')
})

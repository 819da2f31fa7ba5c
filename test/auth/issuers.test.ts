import type {ServerResponse} from 'node:http'
import {mock} from 'node:test'
import {getCACertificates, setDefaultCACertificates} from 'node:tls'
import test, {type ExecutionContext} from 'ava'
import {type Door, doorFor, type Proofs} from '../../src/auth/door.ts'
import type {KeySetTimes} from '../../src/auth/key-set.ts'
import {Tokens} from '../../src/auth/tokens.ts'
import {readConfig} from '../../src/core/config.ts'
import {Fault} from '../../src/core/fault.ts'
import {certificateFor} from '../helpers/certificate.ts'
import {type IssuerOptions, startIssuer, type TestIssuer} from './issuer.ts'

const certificate = certificateFor('localhost')
setDefaultCACertificates([...getCACertificates('default'), certificate.cert])

async function issuerFor(t: ExecutionContext, options: IssuerOptions = {}): Promise<TestIssuer> {
  const issuer = await startIssuer({certificate, ...options})
  t.teardown(() => issuer.close())
  return issuer
}

function doorTo(issuer: TestIssuer, times: Partial<KeySetTimes> = {}, more = ''): Door {
  const AUTH_ISSUERS = `${issuer.url} audience=api ${more}`
  return doorFor(readConfig({AUTH: 'jwt', AUTH_ISSUERS}).auth, times)
}

function proofsOf(token: string, signal = new AbortController().signal): Proofs {
  const authorization = `Bearer ${token}`
  return {
    headers: {authorization},
    rawHeaders: ['Authorization', authorization],
    signal,
    resource: 'http://localhost',
    rawBody: () => Promise.resolve(Buffer.alloc(0)),
    identified() {},
    report() {},
  }
}

/** `OK`, or the code with which the token is refused. */
async function tried(door: Door, token: string | Promise<string>): Promise<string> {
  try {
    await door.admit(proofsOf(await token), {name: 'a.B/C'})
    return 'OK'
  } catch (error) {
    return error instanceof Fault ? error.code : String(error)
  }
}

const keysAsked = ({requests}: TestIssuer) => requests.filter((path) => path === '/keys').length

for (const [name, options] of Object.entries({
  'Google-like, RS256': {alg: 'RS256'},
  'Firebase-like, RS256': {alg: 'RS256'},
  'Auth0-like, with a slash at its end': {alg: 'RS256', slash: true},
  ES256: {alg: 'ES256'},
  ES384: {alg: 'ES384'},
  PS256: {alg: 'PS256'},
  EdDSA: {alg: 'EdDSA'},
} satisfies Record<string, IssuerOptions>)) {
  test(`an issuer over https: ${name}`, async (t) => {
    const issuer = await issuerFor(t, options)
    const door = doorTo(issuer)
    t.is(await tried(door, issuer.token()), 'OK')
    t.is(await tried(door, issuer.token({aud: 'other'})), 'UNAUTHENTICATED')
    t.deepEqual(issuer.requests, ['/.well-known/openid-configuration', '/keys'])
  })
}

test('keys from jwks= need no discovery', async (t) => {
  const issuer = await issuerFor(t)
  t.is(await tried(doorTo(issuer, {}, `jwks=${issuer.url}/keys`), issuer.token()), 'OK')
  t.deepEqual(issuer.requests, ['/keys'])
})

test('all requests that wait for keys share one fetch', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer)
  const tokens = await Promise.all(Array.from({length: 50}, (_, index) => issuer.token({sub: `user-${index}`})))
  t.deepEqual(new Set(await Promise.all(tokens.map((token) => tried(door, token)))), new Set(['OK']))
  t.is(keysAsked(issuer), 1)
})

test('keys rotate under load without a failed call', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer, {coolDown: 0})
  t.is(await tried(door, issuer.token()), 'OK')
  const answers: string[] = []
  let rotating = true
  const load = Array.from({length: 8}, async (_, caller) => {
    for (let call = 0; rotating; call++) answers.push(await tried(door, issuer.token({sub: `${caller}-${call}`})))
  })
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
  }
  for (let rotation = 0; rotation < 5; rotation++) {
    // Published first and used later, as issuers do, so that no earlier fetch is in flight when it is used.
    const next = await issuer.publish()
    const {length} = answers
    await until(() => answers.length > length + 16)
    issuer.use(next)
    await until(() => keysAsked(issuer) >= rotation + 2)
  }
  rotating = false
  await Promise.all(load)
  t.is(keysAsked(issuer), 6)
  t.deepEqual(new Set(answers), new Set(['OK']))
})

test('within the cool-down an unknown key is 401, and the issuer is not asked', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer)
  t.is(await tried(door, issuer.token()), 'OK')
  await issuer.rotate()
  for (let call = 0; call < 5; call++) t.is(await tried(door, issuer.token({sub: String(call)})), 'UNAUTHENTICATED')
  t.is(keysAsked(issuer), 1)
})

test('after the cool-down an unknown key causes one fetch, for all requests', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer, {coolDown: 0})
  t.is(await tried(door, issuer.token()), 'OK')
  await issuer.rotate()
  const tokens = await Promise.all(['a', 'b', 'c'].map((sub) => issuer.token({sub})))
  t.deepEqual(await Promise.all(tokens.map((token) => tried(door, token))), ['OK', 'OK', 'OK'])
  t.is(keysAsked(issuer), 2)
})

const away: Readonly<Record<string, TestIssuer['trouble']>> = {
  'is down': (request) => request.socket.destroy(),
  fails: (_request, response) => void response.writeHead(500).end(),
  hangs: () => {},
  'hangs in its answer': (_request, response) => void response.writeHead(200).write('{'),
  'sends 1 MB of keys': (_request, response) => oneMegabyte(response),
  'sends 1 MB of keys with a length': (_request, response) =>
    void response.writeHead(200, {'content-length': 1_000_000}).end(' '.repeat(1_000_000)),
  'sends keys without end': (_request, response) => {
    response.on('drain', () => response.write(' '.repeat(65_536)))
    oneMegabyte(response)
  },
  redirects: (request, response) => void response.writeHead(302, {location: `${request.url}?again`}).end(),
  'sends no JSON': (_request, response) => void response.writeHead(200).end('<html>'),
  'sends no keys': (_request, response) => void response.writeHead(200).end('{"keys": []}'),
  'sends no key set': (_request, response) => void response.writeHead(200).end('[]'),
  'sends null': (_request, response) => void response.writeHead(200).end('null'),
}

function oneMegabyte(response: ServerResponse): void {
  response.writeHead(200).write(' '.repeat(1_000_000))
}

for (const [what, trouble] of Object.entries(away)) {
  test.serial(`an issuer that ${what}: 503 without keys, and known keys are still used`, async (t) => {
    const issuer = await issuerFor(t)
    // Serial, and with a generous timeout: only an issuer that never answers uses all of it.
    const timeout = 1000
    const cold = doorTo(issuer, {timeout})
    const warm = doorTo(issuer, {timeout, fresh: 0, coolDown: 0, patience: 60_000})
    t.is(await tried(warm, issuer.token()), 'OK')
    issuer.trouble = trouble
    t.is(await tried(cold, issuer.token()), 'UNAVAILABLE')
    t.is(await tried(warm, issuer.token({sub: 'grace'})), 'OK')
    t.is(await tried(warm, issuer.token({aud: 'other'})), 'UNAUTHENTICATED')
    // The issuer may have a new key, so nobody can tell whether the token is valid.
    const known = issuer.kid
    await issuer.rotate()
    t.is(await tried(warm, issuer.token()), 'UNAVAILABLE')
    t.not(issuer.kid, known)
    issuer.trouble = undefined
    t.is(await tried(cold, issuer.token()), 'OK')
    t.is(await tried(warm, issuer.token()), 'OK')
  })
}

test('known keys are used without waiting while the issuer hangs', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer, {fresh: 0, coolDown: 0, patience: 1, timeout: 60_000})
  t.is(await tried(door, issuer.token()), 'OK')
  issuer.trouble = () => {}
  t.is(await tried(door, issuer.token({sub: 'grace'})), 'OK')
})

test('a withdrawn key is not used for longer than the keys are fresh', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer, {fresh: -1, coolDown: 0})
  const [first, second] = [await issuer.token({sub: 'a'}), await issuer.token({sub: 'b'})]
  t.is(await tried(door, first), 'OK')
  await issuer.rotate()
  t.is(await tried(door, second), 'UNAUTHENTICATED')
  t.is(await tried(door, issuer.token()), 'OK')
})

test('the clocks of issuer and instance may differ by half a minute', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer)
  const now = Math.floor(Date.now() / 1000)
  for (const claims of [{exp: now - 30}, {nbf: now + 30}, {iat: now + 30}]) {
    t.is(await tried(door, issuer.token(claims)), 'OK', JSON.stringify(claims))
  }
})

test('only the last few megabytes of verified tokens are cached', async (t) => {
  const issuer = await issuerFor(t)
  const {auth} = readConfig({AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`})
  const tokens = new Tokens(auth.issuers)
  const {signal} = new AbortController()
  const all = await Promise.all(
    Array.from({length: 400}, (_, index) => issuer.token({sub: `user-${index}`, padding: 'x'.repeat(5500)})),
  )
  for (const token of all) await tokens.verify(token, undefined, signal)
  t.is(tokens.remembered(all[0]!, undefined), undefined)
  t.is(tokens.remembered(all.at(-1)!, undefined)?.subject, 'user-399')
  t.is(tokens.remembered(all.at(-200)!, undefined)?.subject, 'user-200')
})

test('known keys are used for a day, and no longer', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer, {kept: 0, fresh: 0, coolDown: 0})
  t.is(await tried(door, issuer.token()), 'OK')
  issuer.trouble = away.fails
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.is(await tried(door, issuer.token({sub: 'grace'})), 'UNAVAILABLE')
})

for (const [what, discovery] of Object.entries({
  'names another issuer': {issuer: 'https://evil.example'},
  'names itself with a slash more': {issuer: 'SLASH'},
  'names no issuer': {issuer: undefined},
  'has its keys behind http': {jwks_uri: 'http://localhost:1/keys'},
  'has its keys in a file': {jwks_uri: 'file:///dev/null'},
  'names no keys': {jwks_uri: undefined},
})) {
  test(`a discovery document that ${what} is rejected`, async (t) => {
    const issuer = await issuerFor(t)
    issuer.discovery = 'issuer' in discovery && discovery.issuer === 'SLASH' ? {issuer: `${issuer.url}/`} : discovery
    t.is(await tried(doorTo(issuer), issuer.token()), 'UNAVAILABLE')
    t.is(keysAsked(issuer), 0)
  })
}

test('keys at an http URL are not fetched, although they exist', async (t) => {
  const issuer = await issuerFor(t)
  const plain = await startIssuer()
  t.teardown(() => plain.close())
  plain.published = issuer.published
  issuer.discovery = {jwks_uri: `${plain.url}/keys`}
  t.is(await tried(doorTo(issuer), issuer.token()), 'UNAVAILABLE')
  t.deepEqual(plain.requests, [])
})

test('a key set of more than 256 KiB is not read, although its keys are valid', async (t) => {
  const issuer = await issuerFor(t)
  let size = 0
  issuer.trouble = (_request, response) => {
    const keys = JSON.stringify({keys: issuer.published})
    response.writeHead(200, {'content-type': 'application/json'}).end(keys.padEnd(size))
  }
  for (const [bytes, outcome] of [
    [256 * 1024 + 1, 'UNAVAILABLE'],
    [256 * 1024, 'OK'],
  ] as const) {
    size = bytes
    t.is(await tried(doorTo(issuer, {}, `jwks=${issuer.url}/keys`), issuer.token()), outcome)
  }
})

test('keys that have moved are found after a fetch from the old URL has failed', async (t) => {
  const issuer = await issuerFor(t)
  const other = await issuerFor(t)
  const door = doorTo(issuer, {fresh: -1, coolDown: 0})
  t.is(await tried(door, issuer.token()), 'OK')
  await issuer.rotate()
  other.published = issuer.published
  issuer.discovery = {jwks_uri: `${other.url}/keys`}
  issuer.published = []
  const token = await issuer.token({sub: 'moved'})
  // The first fetch still goes to the old place, and fails.
  await tried(door, token)
  t.is(await tried(door, token), 'OK')
})

test.serial('within the cool-down after a failed fetch, an unknown key is 503, not 401', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer, {coolDown: 30_000})
  mock.timers.enable({apis: ['Date'], now: Date.now()})
  t.teardown(() => mock.timers.reset())
  t.is(await tried(door, issuer.token()), 'OK')
  mock.timers.tick(31_000)
  await issuer.rotate()
  issuer.trouble = away.fails
  t.is(await tried(door, issuer.token({sub: 'a'})), 'UNAVAILABLE')
  const asked = issuer.requests.length
  t.is(await tried(door, issuer.token({sub: 'b'})), 'UNAVAILABLE')
  t.is(issuer.requests.length, asked)
})

test('an issuer that publishes a key under the name of another issuer is rejected', async (t) => {
  const issuer = await issuerFor(t)
  const good = await issuer.token()
  const {jwk} = await issuer.publish()
  issuer.published = [{...jwk, kid: issuer.kid}]
  t.is(await tried(doorTo(issuer), good), 'UNAUTHENTICATED')
})

test('of two keys with one id the right one is used, and tokens without an id are tried with each key', async (t) => {
  const issuer = await issuerFor(t)
  const {jwk} = await issuer.publish()
  issuer.published = [{...jwk, kid: issuer.kid}, ...issuer.published]
  const door = doorTo(issuer)
  t.is(await tried(door, issuer.token()), 'OK')
  t.is(await tried(door, issuer.token({}, {kid: undefined})), 'OK')
})

test('a set that contains a secret or private key is rejected as a whole', async (t) => {
  const issuer = await issuerFor(t)
  issuer.published = [{kty: 'oct', k: 'c2VjcmV0', kid: issuer.kid, alg: 'HS256'}]
  t.is(await tried(doorTo(issuer), issuer.token()), 'UNAUTHENTICATED')
})

test('an issuer with an untrusted certificate is rejected', async (t) => {
  const issuer = await issuerFor(t, {certificate: certificateFor('localhost')})
  t.is(await tried(doorTo(issuer), issuer.token()), 'UNAVAILABLE')
})

test('the fetch is cancelled when the last request that waits for it has gone, and not before', async (t) => {
  const issuer = await issuerFor(t)
  // The fetch's own timeout would cancel it too, but later.
  const door = doorTo(issuer, {timeout: 600_000})
  const hung = Promise.withResolvers<ServerResponse>()
  issuer.trouble = (_request, response) => hung.resolve(response)
  const [first, second] = [new AbortController(), new AbortController()]
  const token = await issuer.token()
  const waits = [first, second].map(({signal}) => door.admit(proofsOf(token, signal), {}) as Promise<unknown>)
  const response = await hung.promise
  first.abort(new Fault('CANCELLED', 'gone'))
  await t.throwsAsync(waits[0]!, {message: 'gone'})
  t.false(response.destroyed)
  second.abort(new Fault('CANCELLED', 'gone too'))
  await t.throwsAsync(waits[1]!, {message: 'gone too'})
  issuer.trouble = undefined
  // Over connections that begin after the end of the first one has been sent.
  t.is(await tried(door, token), 'OK')
  t.true(response.destroyed, 'a fetch that nobody waits for goes on')
})

test.serial('callers who hang up at once do not prevent others from fetching new keys', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer, {coolDown: 30_000})
  mock.timers.enable({apis: ['Date'], now: Date.now()})
  t.teardown(() => mock.timers.reset())
  const known = await issuer.token()
  t.is(await tried(door, known), 'OK')
  await issuer.rotate({only: false})
  mock.timers.tick(31_000)
  const hung = Promise.withResolvers<ServerResponse>()
  issuer.trouble = (_request, response) => hung.resolve(response)
  const stranger = new AbortController()
  const made = await issuer.token({}, {kid: 'made-up'})
  const wait = door.admit(proofsOf(made, stranger.signal), {}) as Promise<unknown>
  await hung.promise
  stranger.abort(new Fault('CANCELLED', 'gone'))
  await t.throwsAsync(wait, {message: 'gone'})
  issuer.trouble = undefined
  t.is(await tried(door, issuer.token()), 'OK')
  t.is(await tried(door, known), 'OK')
})

test("a stranger's token cannot change how claims of later tokens are read", async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer)
  const exp = Math.floor(Date.now() / 1000) + 600
  const claims = (key: string) => `{"iss":"${issuer.url}","sub":"ada","aud":"api","exp":${exp},"${key}":["admin"]}`
  const parts = ['{"alg":"none"}', claims('https:\\\\/\\\\/shop.example/rol')]
  const stranger = `${parts.map((part) => Buffer.from(part).toString('base64url')).join('.')}.AAAA`
  t.is(await tried(door, stranger), 'UNAUTHENTICATED')
  let caller: unknown
  const proofs = proofsOf(await issuer.signed(claims('https:\\/\\/shop.example/roles')))
  await door.admit({...proofs, identified: (found) => (caller = found)}, {name: 'a.B/C'})
  t.like(caller, {claims: {'https://shop.example/roles': ['admin']}})
})

test.serial('a token is cached for five minutes, and then verified again', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer)
  const now = Date.now()
  mock.timers.enable({apis: ['Date'], now})
  t.teardown(() => mock.timers.reset())
  const token = await issuer.token({exp: Math.floor(now / 1000) + 3600})
  t.is(await tried(door, token), 'OK')
  await issuer.rotate()
  mock.timers.setTime(now + 299_000)
  t.is(await tried(door, token), 'OK')
  mock.timers.setTime(now + 1_000_000)
  t.is(await tried(door, token), 'UNAUTHENTICATED')
})

test('an error page is not read as a key set', async (t) => {
  const issuer = await issuerFor(t)
  issuer.trouble = (_request, response) => void response.writeHead(500).end(JSON.stringify({keys: issuer.published}))
  t.is(await tried(doorTo(issuer, {}, `jwks=${issuer.url}/keys`), issuer.token()), 'UNAVAILABLE')
})

test.serial('a token is refused after it expires, although it is cached', async (t) => {
  const issuer = await issuerFor(t)
  const door = doorTo(issuer)
  const now = Date.now()
  mock.timers.enable({apis: ['Date'], now})
  t.teardown(() => mock.timers.reset())
  const token = await issuer.token({exp: Math.floor(now / 1000) + 10})
  t.is(await tried(door, token), 'OK')
  mock.timers.setTime(now + 65_000)
  t.is(await tried(door, token), 'OK')
  mock.timers.setTime(now + 72_000)
  t.is(await tried(door, token), 'UNAUTHENTICATED')
})

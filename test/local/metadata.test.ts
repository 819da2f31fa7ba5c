import {once} from 'node:events'
import http from 'node:http'
import test from 'ava'
import {Compute} from 'google-auth-library'
import {createRemoteJWKSet, decodeJwt, jwtVerify} from 'jose'
import {startMetadataServer} from '../../local/identity/metadata.ts'

const account = '/computeMetadata/v1/instance/service-accounts/default'
const headers = {'metadata-flavor': 'Google'}
const audience = 'https://ping-xyz.a.run.app'

test('the metadata server issues ID tokens that verify with the keys it serves', async (t) => {
  const server = await startMetadataServer({email: 'me@here.iam.gserviceaccount.com'})
  t.teardown(() => server.close())
  const response = await fetch(`${server.url}${account}/identity?audience=${audience}&format=full`, {headers})
  t.is(response.status, 200)
  t.is(response.headers.get('metadata-flavor'), 'Google')
  const token = await response.text()
  const remote = createRemoteJWKSet(new URL(server.jwksUrl))
  const {payload, protectedHeader} = await jwtVerify(token, remote, {audience, issuer: 'https://accounts.google.com'})
  t.is(protectedHeader.alg, 'RS256')
  t.like(payload, {email: 'me@here.iam.gserviceaccount.com', email_verified: true})
  t.is(payload.exp! - payload.iat!, 3600)
  t.regex(payload.sub!, /^\d{21}$/)
  t.truthy(await jwtVerify(token, server.keys, {audience, issuer: server.issuer}))
  t.deepEqual(server.identityRequests, [{audience, format: 'full'}])
})

test('the metadata server answers the paths that it knows, and 404 elsewhere', async (t) => {
  const server = await startMetadataServer({projectId: 'mine'})
  t.teardown(() => server.close())
  for (const [path, status, expected] of [
    ['/computeMetadata/v1/project/project-id', 200, /^mine$/],
    ['/computeMetadata/v1/universe/universe-domain', 200, /^googleapis\.com$/],
    ['/computeMetadata/v1/instance', 200, /service-accounts\//],
    ['/computeMetadata/v1/instance/', 200, /service-accounts\//],
    [`${account}/email`, 200, /^functions@mine\.iam\.gserviceaccount\.com$/],
    [`${account}/token`, 200, /"token_type":"Bearer"/],
    [`${account}/identity`, 400, /audience/],
    [`${account}/identities`, 404, /./],
    ['/computeMetadata/v2/project/project-id', 404, /./],
    ['/', 200, /computeMetadata/],
  ] as const) {
    const response = await fetch(server.url + path, {headers})
    t.is(response.status, status, path)
    t.is(response.headers.get('metadata-flavor'), 'Google', path)
    t.regex(await response.text(), expected, path)
  }
})

test('the metadata server refuses requests without Metadata-Flavor: Google', async (t) => {
  const server = await startMetadataServer()
  t.teardown(() => server.close())
  const response = await fetch(`${server.url}${account}/identity?audience=${audience}`)
  t.is(response.status, 403)
  t.is(response.headers.get('metadata-flavor'), 'Google')
  t.is(server.identityRequests.length, 0)
})

test.serial("Google's own library gets its tokens from the metadata server", async (t) => {
  const server = await startMetadataServer()
  t.teardown(() => server.close())
  Object.assign(process.env, server.env)
  const compute = new Compute()
  t.is(decodeJwt(await compute.fetchIdToken(audience)).aud, audience)
  t.regex((await compute.getAccessToken()).token ?? '', /^ya29\./)
})

test('the metadata server fails as often as configured', async (t) => {
  const server = await startMetadataServer()
  t.teardown(() => server.close())
  const ask = async () => (await fetch(`${server.url}${account}/identity?audience=${audience}`, {headers})).status
  server.fail(503, 2)
  t.deepEqual([await ask(), await ask(), await ask()], [503, 503, 200])
  server.fail(404)
  t.deepEqual([await ask(), await ask(), await ask()], [404, 404, 404])
  server.recover()
  t.is(await ask(), 200)
  t.is(server.identityRequests.length, 7)
})

test('the metadata server holds a request that hangs, until its caller goes away', async (t) => {
  const server = await startMetadataServer()
  t.teardown(() => server.close())
  server.hang(1)
  const begun = server.nextIdentityRequest()
  const caller = new AbortController()
  const {signal} = caller
  const response = fetch(`${server.url}${account}/identity?audience=${audience}`, {headers, signal})
  t.is((await begun).audience, audience)
  t.is(server.openRequests(), 1)
  caller.abort()
  await t.throwsAsync(response, {name: 'AbortError'})
  await server.idle()
  t.is(server.openRequests(), 0)
  t.is((await fetch(`${server.url}${account}/identity?audience=${audience}`, {headers})).status, 200)
})

test('the metadata server answers when the test says so', async (t) => {
  const server = await startMetadataServer()
  t.teardown(() => server.close())
  const {promise, resolve} = Promise.withResolvers<void>()
  server.delay(promise, 1)
  const begun = server.nextIdentityRequest()
  const response = fetch(`${server.url}${account}/identity?audience=${audience}`, {headers})
  await begun
  t.is(server.openRequests(), 1)
  resolve()
  t.is((await response).status, 200)
  await server.idle()
})

test('the metadata server issues tokens with the configured lifetime', async (t) => {
  const server = await startMetadataServer()
  t.teardown(() => server.close())
  server.lifetimeSeconds = 290
  const identity = await fetch(`${server.url}${account}/identity?audience=${audience}`, {headers})
  const {exp, iat} = decodeJwt(await identity.text())
  t.is(exp! - iat!, 290)
  t.is(
    ((await (await fetch(`${server.url}${account}/token`, {headers})).json()) as {expires_in: number}).expires_in,
    290,
  )
  const odd = decodeJwt(
    await server.mint({audience: 'other', expiresIn: -1, email: 'you@there', claims: {hd: 'there'}}),
  )
  t.like(odd, {aud: 'other', email: 'you@there', hd: 'there'})
  t.is(odd.exp! - odd.iat!, -1)
})

test('the metadata server closes although connections are kept alive and requests hang', async (t) => {
  const server = await startMetadataServer()
  const agent = new http.Agent({keepAlive: true})
  server.hang()
  const request = http.get(`${server.url}${account}/identity?audience=${audience}`, {agent, headers})
  await server.nextIdentityRequest()
  const [[error]] = await Promise.all([once(request, 'error'), server.close()])
  t.is(error.code, 'ECONNRESET')
  agent.destroy()
})

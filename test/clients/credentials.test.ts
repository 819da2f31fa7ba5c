import {existsSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {inChild} from './child.ts'
import {type Google, startGoogle} from './google.ts'

const audience = 'https://ping-xyz.a.run.app'
const robot = 'robot@p.iam.gserviceaccount.com'

/** What 100 concurrent callers get in a process with `env`: the claims of their shared token, or their shared error. */
async function tokenIn(env: Record<string, string>) {
  const {value} = await inChild({env, arg: audience}, async (audience) => {
    const {TestLife} = await import('./life.ts')
    const {runtimeOf} = await import('./runtime.ts')
    const {idTokens} = runtimeOf(process.env)
    const ask = () => idTokens.for(audience).token(new TestLife())
    try {
      const tokens = new Set(await Promise.all(Array.from({length: 100}, ask)))
      const claims = [...tokens].map((token) => Buffer.from(token.split('.')[1]!, 'base64url').toString())
      const {aud, email} = JSON.parse(claims.join())
      return {aud, email}
    } catch (error) {
      const fault = error as import('../../src/core/fault.ts').Fault
      const {code, message, hint} = fault
      const {httpStatusOf} = await import('../../src/http/response/failure.ts')
      const http = httpStatusOf(fault)
      return {code, http, message, hint}
    }
  })
  return value
}

function noGcloud(t: ExecutionContext, {folder}: Google): void {
  t.false(existsSync(join(folder.path, 'gcloud-ran')), 'the gcloud command was run')
}

test('the library asks the gcloud command unless it is prevented', async (t) => {
  const google = await startGoogle(t)
  const GOOGLE_APPLICATION_CREDENTIALS = google.folder.write('user.json', JSON.stringify(google.userFile))
  await inChild({env: {...google.env, GOOGLE_APPLICATION_CREDENTIALS}, arg: undefined}, async () => {
    const {GoogleAuth} = await import('google-auth-library')
    await new GoogleAuth().getClient()
  })
  t.true(existsSync(join(google.folder.path, 'gcloud-ran')))
})

test('on Cloud Run the metadata server gives the tokens, and no gcloud process is spawned', async (t) => {
  const google = await startGoogle(t)
  const metadata = await startMetadataServer()
  t.teardown(() => metadata.close())
  const env = {...google.env, AUTH: 'iam', K_SERVICE: 'ping', GCE_METADATA_HOST: metadata.host}
  t.deepEqual(await tokenIn(env), {aud: audience, email: metadata.email})
  t.is(metadata.identityRequests.length, 1)
  t.deepEqual(google.asked, [])
  noGcloud(t, google)
})

const impersonation = {
  type: 'impersonated_service_account',
  service_account_impersonation_url:
    'https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/other@p.iam.gserviceaccount.com:generateAccessToken',
}
const generateIdToken =
  'iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/other@p.iam.gserviceaccount.com:generateIdToken'

for (const {title, file, claims, asked} of [
  {
    title: "a service account's key file",
    file: ({keyFile}: Google) => keyFile,
    claims: {aud: audience, email: robot},
    asked: ['oauth2.googleapis.com/token audience'],
  },
  {
    title: 'impersonation by a developer',
    file: ({userFile}: Google) => ({...impersonation, source_credentials: userFile}),
    claims: {aud: audience, email: 'other@p.iam.gserviceaccount.com'},
    asked: ['oauth2.googleapis.com/token user', `${generateIdToken} Bearer ya29.user`],
  },
  {
    title: 'impersonation by a service account',
    file: ({keyFile}: Google) => ({...impersonation, source_credentials: keyFile}),
    claims: {aud: audience, email: 'other@p.iam.gserviceaccount.com'},
    asked: ['oauth2.googleapis.com/token scope', `${generateIdToken} Bearer ya29.robot`],
  },
  {
    title: "a developer's own login",
    file: ({userFile}: Google) => userFile,
    claims: {aud: 'gcloud', email: 'me@p'},
    asked: ['oauth2.googleapis.com/token user'],
  },
]) {
  for (const onCloudRun of [false, true]) {
    test(`${title} gives the tokens${onCloudRun ? ', on Cloud Run too' : ''}, with one fetch and no gcloud`, async (t) => {
      const google = await startGoogle(t)
      const env = {
        ...google.env,
        GOOGLE_APPLICATION_CREDENTIALS: google.folder.write('credentials.json', JSON.stringify(file(google))),
        ...(onCloudRun && {AUTH: 'iam', K_SERVICE: 'ping'}),
      }
      t.deepEqual(await tokenIn(env), claims)
      t.deepEqual(google.asked, asked)
      noGcloud(t, google)
    })
  }
}

test("gcloud's login is found where gcloud stores it", async (t) => {
  const google = await startGoogle(t)
  google.folder.write('application_default_credentials.json', JSON.stringify(google.userFile))
  t.deepEqual(await tokenIn({...google.env, CLOUDSDK_CONFIG: google.folder.path}), {aud: 'gcloud', email: 'me@p'})
  noGcloud(t, google)
})

test('credentials that cannot give ID tokens say what to use instead', async (t) => {
  const google = await startGoogle(t)
  const federation = {
    type: 'external_account',
    audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: 'https://sts.googleapis.com/v1/token',
    credential_source: {file: '/nonexistent'},
  }
  const GOOGLE_APPLICATION_CREDENTIALS = google.folder.write('federation.json', JSON.stringify(federation))
  t.deepEqual(await tokenIn({...google.env, GOOGLE_APPLICATION_CREDENTIALS}), {
    code: 'UNAVAILABLE',
    http: 503,
    message: 'Cannot get an ID token for the backend',
    hint: `the audience is "${audience}": use a service account: its key file, impersonation of it, or the metadata server`,
  })
  noGcloud(t, google)
})

test('missing credentials are UNAVAILABLE', async (t) => {
  const google = await startGoogle(t)
  t.like(await tokenIn(google.env), {code: 'UNAVAILABLE', http: 503})
  noGcloud(t, google)
})

test('a refused key is UNAVAILABLE', async (t) => {
  const google = await startGoogle(t)
  const file = {...google.userFile, refresh_token: 'revoked'}
  const GOOGLE_APPLICATION_CREDENTIALS = google.folder.write('user.json', JSON.stringify(file))
  t.like(await tokenIn({...google.env, GOOGLE_APPLICATION_CREDENTIALS}), {code: 'UNAVAILABLE', http: 503})
})

test('a key file that appears later is found by the next request, for Storage too', async (t) => {
  const google = await startGoogle(t)
  const env = {...google.env, GOOGLE_APPLICATION_CREDENTIALS: join(google.folder.path, 'key.json')}
  const {value} = await inChild({env, arg: JSON.stringify(google.keyFile)}, async (key) => {
    const {writeFileSync} = await import('node:fs')
    const {TestLife} = await import('./life.ts')
    const {runtimeOf} = await import('./runtime.ts')
    const {idTokens, storage} = runtimeOf(process.env)
    const ask = () => idTokens.for('https://x.a.run.app').token(new TestLife())
    const client = () =>
      storage.client().then(
        () => 'a client',
        () => 'none',
      )
    const first = [await ask().catch(({code}) => code), await client()]
    writeFileSync(process.env.GOOGLE_APPLICATION_CREDENTIALS!, key)
    return [...first, (await ask()).split('.').length, await client()]
  })
  t.deepEqual(value, ['UNAVAILABLE', 'none', 3, 'a client'])
})

test('a token endpoint that hangs delays nobody beyond the deadline, and the next request tries again', async (t) => {
  const google = await startGoogle(t)
  google.hanging = 1
  const GOOGLE_APPLICATION_CREDENTIALS = google.folder.write('key.json', JSON.stringify(google.keyFile))
  const {value} = await inChild({env: {...google.env, GOOGLE_APPLICATION_CREDENTIALS}, arg: undefined}, async () => {
    const {TestLife} = await import('./life.ts')
    const {runtimeOf} = await import('./runtime.ts')
    const {idTokens, credentials} = runtimeOf(process.env)
    await credentials()
    const ask = (timeout: number) => idTokens.for('https://x.a.run.app').token(new TestLife({timeout}))
    const first = await ask(1000).catch(({code}) => code)
    return [first, (await ask(30_000)).split('.').length]
  })
  t.deepEqual(value, ['DEADLINE_EXCEEDED', 3])
  // The library may have repeated the first request although nobody waits for it any more.
  t.true(google.asked.length >= 2)
})

import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'
import {startIssuer, type TestIssuer} from './issuer.ts'

let issuer: TestIssuer
let app: App
test.before(async () => {
  issuer = await startIssuer()
  app = await startApp({
    env: {
      AUTH: 'jwt',
      AUTH_ISSUERS: `${issuer.url} audience=api`,
      UPLOAD_CREATOR: 'sub',
      UPLOAD_BUCKETS: 'samples/incoming/ samples/bare whole',
    },
  })
  for (const bucket of ['samples', 'whole', 'sample']) app.storage.createBucket(bucket)
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  await issuer.close()
})

async function bearer(claims: object = {}) {
  return {authorization: `Bearer ${await issuer.token({...claims})}`}
}

test.serial('the creator of an upload is the verified caller', async (t) => {
  await app.storage.put('whole', 'it', [Buffer.from('it')])
  const upload = async (context: object, claims = {}) =>
    await app.ask(t, '/upload', {
      method: 'POST',
      headers: {...(await bearer(claims)), 'content-type': 'application/json'},
      body: JSON.stringify({bucket: 'whole', object: 'it', context}),
    })
  for (const context of [{name: 'it'}, {name: 'it', creatorId: ''}, {name: 'it', creatorId: 'ada'}]) {
    const answer = await upload(context)
    t.is(answer.status, 200, answer.text)
    t.is(app.backend.repo.repos.at(-1)?.creatorId, 'ada')
  }
  const refused = await upload({name: 'it', creatorId: 'eve'})
  t.is(refused.status, 403)
  t.is(refused.json.error.details[0].reason, 'CREATOR_NOT_CALLER')
})

test.serial('a caller without the creator claim cannot upload', async (t) => {
  const other = await startApp({
    env: {
      AUTH: 'jwt',
      AUTH_ISSUERS: `${issuer.url} audience=api`,
      UPLOAD_CREATOR: 'team',
      UPLOAD_BUCKETS: 'samples',
    },
  })
  t.teardown(() => other.close())
  for (const [claims, status] of [
    [{}, 403],
    [{team: ''}, 403],
    [{team: ['a']}, 403],
    [{team: 'a'}, 200],
  ] as const) {
    const headers = {...(await bearer(claims)), 'content-type': 'text/plain'}
    const answer = await other.ask(t, '/upload?name=it', {method: 'POST', headers, body: 'it'})
    t.is(answer.status, status, answer.text)
    if (status === 403) t.is(answer.json.error.details[0].reason, 'CREATOR_NOT_CALLER')
  }
  t.deepEqual(
    other.backend.repo.repos.map(({creatorId}) => creatorId),
    ['a'],
  )
})

test.serial('the creator of an uploaded request body is the verified caller too', async (t) => {
  const upload = async (query: string) =>
    await app.ask(t, `/upload?${query}`, {
      method: 'POST',
      headers: {...(await bearer()), 'content-type': 'text/plain'},
      body: 'it',
    })
  t.is((await upload('name=it')).status, 200)
  t.is(app.backend.repo.repos.at(-1)?.creatorId, 'ada')
  t.is((await upload('name=it&creatorId=eve')).status, 403)
})

test.serial('only objects with the prefix are read from a bucket with a prefix', async (t) => {
  for (const [bucket, object, status] of [
    ['samples', 'incoming/a', 200],
    ['samples', 'incoming', 403],
    ['samples', 'other', 403],
    ['samples', '../whole/it', 403],
    ['samples', 'incoming-other/a', 403],
    ['samples', '/incoming/a', 403],
    ['samples', 'incoming%2Fa', 403],
    ['samples', 'incoming/../other', 403],
    ['samples', 'incoming/.', 403],
    ['samples', 'incoming/..a/...', 200],
    ['samples', 'bare/a', 200],
    ['samples', 'bare-other/a', 403],
    ['samples', 'barely', 403],
    ['sample', 's/incoming/a', 403],
    ['samples/incoming', 'a', 403],
    ['samples/incoming/', 'a', 403],
    ['samples/bare', 'a', 403],
    ['whole/..', 'a', 403],
    ['Whole', 'a', 403],
    ['whole', 'incoming/a', 200],
  ] as const) {
    if (status === 200) await app.storage.put(bucket, object, [Buffer.from('it')])
    const answer = await app.ask(t, '/upload', {
      method: 'POST',
      headers: {...(await bearer()), 'content-type': 'application/json'},
      body: JSON.stringify({bucket, object, context: {name: 'it'}}),
    })
    t.is(answer.status, status, `${bucket}/${object}: ${answer.text}`)
  }
})

test.serial('only callers who may upload get a session, since whoever has it can write to Storage', async (t) => {
  const other = await startApp({
    env: {
      AUTH: 'jwt',
      AUTH_ISSUERS: `${issuer.url} audience=api`,
      AUTH_ALLOW: 'Repo/CreateRepo team=a',
      UPLOAD_BUCKETS: 'samples',
      UPLOAD_SESSIONS: 'samples/incoming/',
    },
  })
  t.teardown(() => other.close())
  other.storage.createBucket('samples')
  for (const [team, status] of [
    ['b', 403],
    ['a', 200],
  ] as const) {
    const headers = {...(await bearer({team})), 'content-type': 'application/json'}
    const answer = await other.ask(t, '/upload/session', {method: 'POST', headers, body: '{"size": 1}'})
    t.is(answer.status, status, answer.text)
  }
})

test.serial('the request for a session is a few fields: a larger body is not read', async (t) => {
  const other = await startApp({env: {UPLOAD_BUCKETS: 'samples', UPLOAD_SESSIONS: 'samples/incoming/'}})
  t.teardown(() => other.close())
  const headers = {'content-type': 'application/json'}
  const answer = await other.ask(t, '/upload/session', {method: 'POST', headers, body: ' '.repeat(5000)})
  t.is(answer.status, 413, answer.text)
})

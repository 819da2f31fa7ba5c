import {spawn, spawnSync} from 'node:child_process'
import {createInterface} from 'node:readline'
import test from 'ava'
import {exchange, open} from '../../test/functions/gateway-client.ts'
import type {App} from '../../test/helpers/app.ts'
import {startSamples} from './app.ts'

let app: App
test.before(async () => {
  app = await startSamples()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const body = '{"name":"Ada","age":36,"body":{"name":"b"}}'

for (const [line, sent, message] of [
  ['GET /api/person/Ada/36/b', undefined, {name: 'Ada', age: 36, body: {name: 'b'}}],
  ['POST /api/person', body, {name: 'Ada', age: 36, body: {name: 'b'}}],
  ['GET /api/person?name=Ada&body.name=b', undefined, {name: 'Ada', body: {name: 'b'}}],
  ['GET /api/people/qm/36', undefined, {name: 'qm', age: 36}],
  ['POST /api/person:in', `${body}\n{"name":"Bob","age":1}`, {name: 'success'}],
  ['GET /api/users/ada', undefined, {user: {id: 'ada', firstName: 'Ada', lastName: 'Lovelace', age: 36}}],
  [
    'GET /api/users?email=jane@doe.com',
    undefined,
    {user: {id: 'jane', firstName: 'jane', lastName: 'doe.com', age: 36}},
  ],
  [
    'GET /api/users?id=7&email=jane%40doe.com',
    undefined,
    {user: {id: '7', firstName: 'jane', lastName: 'doe.com', age: 36}},
  ],
] as const) {
  test.serial(`${line} of ${sent}`, async (t) => {
    const [method = '', path = ''] = line.split(' ')
    const response = await exchange(app.url(''), {method, path, ...(sent && {body: sent})})
    t.deepEqual([response.status, response.json], [200, message], response.text)
  })
}

for (const [path, sent, answers] of [
  ['/api/person/Ada:out?age=2', undefined, Array(11).fill({name: 'I got itAda'})],
  ['/api/person:out', '{"name":"Ada","age":1}', Array(11).fill({name: 'I got itAda'})],
  ['/api/person:io', '{"name":"Ada"}{"name":"Bob"}', [{name: 'I got itAda'}, {name: 'I got itBob'}]],
  ['/api/chat', '{"content":"Hi"}', [{reply: 'You said: Hi'}]],
  [
    '/api/users:help',
    '{"user":{"first_name":"Ada"},"request":"Why?"}',
    [{response: 'Ada asked "Why?": have you tried it again?'}],
  ],
] as const) {
  test.serial(`${path} of ${sent}`, async (t) => {
    const request = {method: sent ? 'POST' : 'GET', path, ...(sent && {body: sent})}
    const response = await exchange(app.url(''), request)
    t.is(response.status, 200, response.text)
    t.deepEqual(
      response.text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
      answers,
    )
  })
}

for (const email of ['nobody', 'jane@', '@doe.com', 'jane@doe@com']) {
  test.serial(`the email ${email} is INVALID_ARGUMENT with a BadRequest of the service`, async (t) => {
    const {status, json} = await app.ask(t, `/api/users?email=${email}`)
    t.is(status, 400)
    t.deepEqual(json.error.details, [
      {
        '@type': 'type.googleapis.com/google.rpc.BadRequest',
        fieldViolations: [{field: 'email', description: `"${email}" is not an email address`}],
      },
    ])
  })
}

test.serial('the request id is seen in the log of Users', async (t) => {
  await app.ask(t, '/api/users/ada', {headers: {'x-request-id': 'get-1'}})
  t.like(app.backend.log.at(-1), {method: '/Users/GetUser', requestId: 'get-1'})
  await app.ask(t, '/api/users:help', {
    method: 'POST',
    body: '{}',
    headers: {'x-request-id': 'help-1', 'content-type': 'application/json'},
  })
  t.like(app.backend.log.at(-1), {method: '/Users/GetHelp', requestId: 'help-1'})
})

const withCurl = spawnSync('curl', ['--version']).status === 0 ? test.serial : test.serial.skip

withCurl('curl -sN -X POST -T . /api/chat: a reply comes while curl still reads what is typed', async (t) => {
  const curl = spawn('curl', ['-sN', '-X', 'POST', '-T', '.', app.url('/api/chat')], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const replies = createInterface({input: curl.stdout})[Symbol.asyncIterator]()
  for (const word of ['Hello', 'Still there?']) {
    curl.stdin.write(`{"content": "${word}"}\n`)
    t.is((await replies.next()).value, `{"reply":"You said: ${word}"}`)
  }
  curl.stdin.end()
  t.true((await replies.next()).done)
})

test.serial('SearchIO answers each person until the caller ends', async (t) => {
  await using request = await open(app.url(''), {method: 'POST', path: '/api/person:io'})
  for (const name of ['Ada', 'Bob']) {
    request.write(`{"name":"${name}"}\n`)
    await request.connection.until(new RegExp(`I got it${name}`))
  }
  request.end()
  t.true((await request.response()).whole)
})

test.serial('a chat: each reply comes while the request is open', async (t) => {
  await using request = await open(app.url(''), {method: 'POST', path: '/api/chat'})
  for (const word of ['one', 'two']) {
    request.write(`{"content":"${word}"}\n`)
    await request.connection.until(new RegExp(`You said: ${word}`))
  }
  request.end()
  t.true((await request.response()).whole)
})

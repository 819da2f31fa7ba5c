import {spawn, spawnSync} from 'node:child_process'
import {createHmac} from 'node:crypto'
import {once} from 'node:events'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import test from 'ava'
import {parse} from 'shell-quote'
import {makeKey} from '../../local/cli/commands/key.ts'
import {freePort} from '../../local/functions.ts'
import type {RateLimitStore} from '../../src/index.ts'
import {buildSchema} from '../functions/gateway-schema.ts'
import {HeldService} from '../functions/gateway-services.ts'
import {type App, startApp} from '../helpers/app.ts'
import {stepsIn, textOf} from '../helpers/commands.ts'
import {startIssuer, type TestIssuer} from './issuer.ts'

// Runs the recipes of docs/security.md with the variables written there, except for host names and folders.

const folder = mkdtempSync(join(tmpdir(), 'recipes-'))
const schema = buildSchema({
  'own.proto': `
    syntax = "proto3";
    import "google/api/annotations.proto";
    package hooks;
    service Hooks { rpc Push(Event) returns (Event) { option (google.api.http) = {post: "/push" body: "*"}; } }
    message Event { string ref = 1; }`,
  'users.proto': `
    syntax = "proto3";
    import "google/api/annotations.proto";
    package users;
    service Users { rpc Get(Name) returns (Name) { option (google.api.http) = {get: "/users"}; } }
    message Name { string name = 1; }`,
})
const same = (request: unknown) => request
const services = [
  new HeldService(schema.registry.getService('hooks.Hooks')!, {push: same}),
  new HeldService(schema.registry.getService('users.Users')!, {get: same}),
]

let issuer: TestIssuer
test.before(async () => {
  issuer = await startIssuer({alg: 'RS256'})
})
test.after.always(async () => {
  await issuer.close()
  schema[Symbol.dispose]()
  rmSync(folder, {recursive: true})
})

/** The variables of the recipe whose title begins with `title`. */
function recipe(title: string): Record<string, string> {
  const text = textOf('docs/security.md')
  const [, block = ''] = new RegExp(`^\\*\\*${title}[\\s\\S]*?^\`\`\`\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(text) ?? []
  const lines = block.trim().split('\n')
  return Object.fromEntries(lines.map((line) => (parse(line) as string[]).join('').split(/=(.*)/s, 2)))
}

async function appOf(t: Parameters<App['quiet']>[0], title: string): Promise<App> {
  const env = Object.entries(recipe(title)).map(([name, value]) => [
    name,
    value
      .replace(/https:\/\/(securetoken\.google\.com\/PROJECT|accounts\.google\.com)/, issuer.url)
      .replace('/secrets/', `${folder}/`),
  ])
  const app = await startApp({backend: {services}, env: {GATEWAY_DESCRIPTORS: schema.path, ...Object.fromEntries(env)}})
  t.teardown(() => app.close())
  return app
}

test.serial('a page of a project with Firebase', async (t) => {
  const app = await appOf(t, 'A browser with Firebase')
  const origin = 'https://app.example'
  const asks = {'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization'}
  const preflight = await app.ask(t, '/users?name=ada', {method: 'OPTIONS', headers: {origin, ...asks}})
  t.is(preflight.status, 204)
  t.is(preflight.headers.get('access-control-allow-headers'), 'authorization')
  const token = (claims: object) => issuer.token({aud: 'PROJECT', ...claims})
  for (const [authorization, status] of [
    [`Bearer ${await token({})}`, 200],
    [`Bearer ${await token({aud: 'OTHER'})}`, 401],
    [undefined, 401],
  ] as const) {
    const answer = await app.ask(t, '/users?name=ada', {headers: {origin, ...(authorization && {authorization})}})
    t.is(answer.status, status, answer.text)
    t.is(answer.headers.get('access-control-allow-origin'), origin)
  }
})

test.serial('a partner with a key', async (t) => {
  const {key, line} = makeKey('partner', '*')
  writeFileSync(join(folder, 'api-keys'), `${line}\n`)
  const app = await appOf(t, 'A partner with a key')
  t.is((await app.ask(t, '/users?name=ada', {headers: {'x-api-key': key}})).status, 200)
  t.is((await app.ask(t, '/users?name=ada', {headers: {'x-api-key': `${key}x`}})).status, 401)
  t.is((await app.ask(t, '/users?name=ada')).status, 401)
})

test.serial('a service account from outside', async (t) => {
  const app = await appOf(t, 'Service accounts')
  const as = async (email: string) => {
    const token = await issuer.token({aud: 'https://api.example.com', email, email_verified: true})
    return (await app.ask(t, '/users?name=ada', {headers: {authorization: `Bearer ${token}`}})).status
  }
  t.is(await as('job@PROJECT.iam.gserviceaccount.com'), 200)
  t.is(await as('other@PROJECT.iam.gserviceaccount.com'), 403)
})

test.serial('a webhook of GitHub', async (t) => {
  writeFileSync(join(folder, 'github'), 'the secret\n')
  const app = await appOf(t, 'A webhook')
  const body = '{"ref": "refs/heads/main"}'
  const signed = `sha256=${createHmac('sha256', 'the secret').update(body).digest('hex')}`
  const ask = (headers: Record<string, string>, path = '/push') =>
    app.ask(t, path, {method: 'POST', body, headers: {'content-type': 'application/json', ...headers}})
  t.deepEqual((await ask({'x-hub-signature-256': signed})).json, {ref: 'refs/heads/main'})
  t.is((await ask({'x-hub-signature-256': signed.replace(/.$/, 'x')})).status, 401)
  t.is((await ask({})).status, 401)
  t.is((await ask({'x-hub-signature-256': signed}, '/upload')).status, 401)
})

/** The test is skipped if this machine has no Redis. */
const hasRedis = spawnSync('redis-server', ['--version']).status === 0

;(hasRedis ? test.serial : test.serial.skip)('rates in a Redis of all instances', async (t) => {
  const code = stepsIn('docs/security.md').find((step) => step.kind === 'file' && step.text.includes('redisRates'))
  const text = (code as {text: string}).text
    .replace("'grpc-functions'", `'${join(import.meta.dirname, '../../src/index.ts')}'`)
    .replace("'redis'", `'${import.meta.resolve('redis')}'`)
  writeFileSync(join(folder, 'redis-rates.ts'), text)
  const {redisRates} = (await import(join(folder, 'redis-rates.ts'))) as {redisRates(url: string): RateLimitStore}
  const port = await freePort(0)
  const startRedis = async () => {
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder]
    const started = spawn('redis-server', args, {stdio: ['ignore', 'pipe', 'inherit']})
    t.teardown(() => started.kill('SIGKILL'))
    for await (const line of createInterface({input: started.stdout})) if (/Ready to accept/.test(line)) break
    started.stdout.resume()
    return started
  }
  const redis = await startRedis()
  const env = {RATE_LIMIT: '3/60s', BACKEND_CONNECT_TIMEOUT_SECONDS: '5'}
  const stores = [1, 2].map(() => redisRates(`redis://127.0.0.1:${port}`))
  const apps = await Promise.all(stores.map((rateLimits) => startApp({env, rateLimits})))
  t.teardown(() => Promise.all(apps.map((app) => app.close())))
  const ask = async (index: number) => {
    const response = await fetch(apps[index]!.url('/ping?message=hi'))
    await response.text()
    return {status: response.status, rate: response.headers.get('ratelimit')}
  }
  const answers = [await ask(0), await ask(1), await ask(0), await ask(1)]
  t.deepEqual(
    answers.map(({status}) => status),
    [200, 200, 200, 429],
  )
  t.regex(answers[1]?.rate ?? '', /r=1/)
  redis.kill('SIGKILL')
  await once(redis, 'exit')
  t.deepEqual(await ask(1), {status: 200, rate: null}, 'a store that is away refuses nobody')
  const again = await startRedis()
  t.regex((await ask(1)).rate ?? '', /r=2/, 'and counts when it is back')
  again.kill('SIGKILL')
  await once(again, 'exit')
})

test('every recipe with variables has a test', (t) => {
  const [, recipes = ''] = textOf('docs/security.md').split('## Recipes')
  t.is(recipes.match(/^```$/gm)?.length, 8)
})

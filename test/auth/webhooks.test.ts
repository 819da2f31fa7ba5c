import {createHmac} from 'node:crypto'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {doorOf} from '../../src/auth/door.ts'
import {ConfigError} from '../../src/core/config.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {type App, startApp} from '../helpers/app.ts'

const folder = mkdtempSync(join(tmpdir(), 'secrets-'))
const file = join(folder, 'secret')
const secret = 'it is a secret'
const send = 'ping.PingService/Send'
const body = '{"message": "h\\u0069"}'
const now = () => Math.floor(Date.now() / 1000)

const hmac = (text: string, key = secret, algorithm = 'sha256') => createHmac(algorithm, key).update(text)

/** For each format, the headers with which a service signs `body`. */
const forms = {
  github: (text: string, key?: string) => ({'x-hub-signature-256': `sha256=${hmac(text, key).digest('hex')}`}),
  stripe: (text: string, key?: string, time = now()) => ({
    'stripe-signature': `t=${time},v0=abc,v1=${'0'.repeat(64)},v1=${hmac(`${time}.${text}`, key).digest('hex')}`,
  }),
  slack: (text: string, key?: string, time = now()) => ({
    'x-slack-request-timestamp': String(time),
    'x-slack-signature': `v0=${hmac(`v0:${time}:${text}`, key).digest('hex')}`,
  }),
  'header=X-Sign algorithm=sha512 encoding=base64': (text: string, key?: string) => ({
    'x-sign': hmac(text, key, 'sha512').digest('base64'),
  }),
}

const apps: Record<string, App> = {}
test.before(async () => {
  writeFileSync(file, `${secret}\n`)
  for (const form of Object.keys(forms)) {
    apps[form] = await startApp({
      env: {AUTH: 'jwt', AUTH_WEBHOOK: `${send} ${form} secret=${file}; /upload ${form} secret=${file}`},
    })
  }
})
test.after.always(async () => {
  for (const app of Object.values(apps)) await app.close()
  rmSync(folder, {recursive: true})
})

for (const [form, sign] of Object.entries(forms)) {
  const ask = async (
    t: Parameters<App['ask']>[0],
    headers: Record<string, string>,
    path = '/api/ping',
    sent = body,
  ) => {
    const init = {method: 'POST', headers: {'content-type': 'application/json', ...headers}, body: sent}
    return await apps[form]!.ask(t, path, init)
  }

  test.serial(`${form}: a signed request is let in, and reaches the method unchanged`, async (t) => {
    const {status, json, text} = await ask(t, sign(body))
    t.is(status, 200, text)
    t.is(json.pong.message, 'hi')
  })

  test.serial(`${form}: the signature never reaches the backend, by REST or by Connect`, async (t) => {
    const signed: Record<string, string> = sign(body)
    const [name = '', value = ''] = Object.entries(signed).at(-1)!
    for (const path of ['/api/ping', `/${send}`]) {
      const call = apps[form]!.backend.ping.next()
      const headers = {...signed, [`grpc-metadata-${name}`]: value, 'connect-protocol-version': '1'}
      const answer = ask(t, headers, path)
      const {metadata, answer: go} = await call
      go()
      t.is((await answer).status, 200)
      t.deepEqual(metadata.get(name), [], path)
      t.deepEqual(metadata.get('x-verified-claims-bin').map(String), [`{"webhook":"${send}"}`], path)
    }
  })

  test.serial(`${form}: a wrong or missing signature is 401`, async (t) => {
    const {count} = apps[form]!.backend.ping
    const signed: Record<string, string> = sign(body)
    const [name = '', value = ''] = Object.entries(signed).at(-1)!
    for (const headers of [
      {},
      sign(body, 'another secret'),
      sign(`${body} `),
      {...signed, [name]: ''},
      {...signed, [name]: value.slice(0, -1)},
      {...signed, [name]: value.replace(/[\w+/]{2}(?==*$)/, '')},
      {...signed, [name]: value.replace(/^(sha256|v0|t)=/, '$1x=')},
    ] as Record<string, string>[]) {
      if (headers[name] === value) continue
      t.is((await ask(t, headers)).status, 401, JSON.stringify(headers))
    }
    t.is((await ask(t, signed, '/api/ping', `${body} `)).status, 401)
    t.is((await ask(t, signed, '/health')).status, 401)
    t.is((await ask(t, signed, '/api/repos')).status, 401)
    t.is(apps[form]!.backend.ping.count, count)
  })

  test.serial(`${form}: a body that is streamed arrives complete after its signature is checked`, async (t) => {
    const text = 'x'.repeat(100_000)
    const answer = await ask(t, {...sign(text), 'content-type': 'text/plain'}, '/upload?creatorId=me&name=it', text)
    t.is(answer.status, 200, answer.text)
    t.is(answer.json.size, text.length)
    const long = 'x'.repeat(1024 * 1024 + 1)
    t.is(
      (await ask(t, {...sign(long), 'content-type': 'text/plain'}, '/upload?creatorId=me&name=it', long)).status,
      413,
    )
  })

  test.serial(`${form}: a new secret applies at once, and the old one until it is removed`, async (t) => {
    t.teardown(() => writeFileSync(file, secret))
    writeFileSync(file, `new secret\n${secret}\n`)
    t.is((await ask(t, sign(body, 'new secret'))).status, 200)
    t.is((await ask(t, sign(body))).status, 200)
    writeFileSync(file, 'new secret')
    t.is((await ask(t, sign(body))).status, 401)
  })
}

for (const form of ['stripe', 'slack'] as const) {
  test.serial(`${form}: a signature from more than five minutes ago, or ahead, is 401`, async (t) => {
    const ask = async (time: number) => {
      const headers = {'content-type': 'application/json', ...forms[form](body, secret, time)}
      return (await apps[form]!.ask(t, '/api/ping', {method: 'POST', headers, body})).status
    }
    t.deepEqual(
      [await ask(now() - 200), await ask(now() - 400), await ask(now() + 400), await ask(Number.NaN)],
      [200, 401, 401, 401],
    )
  })
}

test.serial('github: the secrets that were read before still apply while the file is missing or empty', async (t) => {
  const headers = {'content-type': 'application/json', ...forms.github(body)}
  const ask = async () => (await apps.github!.ask(t, '/api/ping', {method: 'POST', headers, body})).status
  t.is(await ask(), 200)
  try {
    rmSync(file)
    t.is(await ask(), 200)
    writeFileSync(file, '\n')
    t.is(await ask(), 200)
  } finally {
    writeFileSync(file, `${secret}\n`)
  }
})

test('a missing secret is an error at start', (t) => {
  const start = () => doorOf(runtimeOf({AUTH: 'jwt', AUTH_WEBHOOK: `/a github secret=${folder}/none`}))
  t.throws(start, {instanceOf: ConfigError, message: /^AUTH_WEBHOOK: secret="[^"]+\/none": expected a secret: ENOENT/})
  const empty = join(folder, 'empty')
  writeFileSync(empty, ' \n\n')
  const startEmpty = () => doorOf(runtimeOf({AUTH: 'jwt', AUTH_WEBHOOK: `/a github secret=${empty}`}))
  t.throws(startEmpty, {instanceOf: ConfigError, message: /expected a secret: the file is empty$/})
})

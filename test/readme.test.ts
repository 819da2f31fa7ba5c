import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {type IncomingMessage, request} from 'node:http'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import test from 'ava'
import {parse} from 'shell-quote'
import {putSamples} from '../local/samples.ts'
import {withConfiguration} from '../scripts/docs.ts'
import {type App, startApp} from './helpers/app.ts'

const root = join(import.meta.dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const requests = [...readme.matchAll(/```sh\n(curl [^`]*)\n```/g)].map(([, command]) => command ?? '')

let app: App
test.before(async () => {
  app = await startApp()
  await putSamples(app.storage)
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

/** What curl would send: the flags that README uses, and no others. */
function requestOf(command: string): {path: string; init: RequestInit} {
  const [curl, ...words] = parse(command) as string[]
  if (curl !== 'curl') throw new Error(`Not a request: ${command}`)
  const init = {method: 'GET', headers: {} as Record<string, string>, body: undefined as Buffer | string | undefined}
  let url = ''
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '-N') continue
    if (word === '-H') {
      const [name = '', value = ''] = (words.shift() ?? '').split(/:\s*/, 2)
      init.headers[name] = value
    } else if (word === '-d' || word === '--data-binary') {
      const data = words.shift() ?? ''
      init.body = data.startsWith('@') ? readFileSync(join(root, data.slice(1))) : data
      init.method = 'POST'
    } else if (word.startsWith('-')) throw new Error(`What does curl's ${word} do?`)
    else url = word
  }
  return {path: url.replace('http://localhost:8080', ''), init: init as RequestInit}
}

test('README has a request for every function', (t) => {
  for (const name of ['ping', 'upload', 'health', 'api'])
    t.true(
      requests.some((command) => command.includes(`/${name}`)),
      name,
    )
})

// What is typed at a terminal goes line by line: see below.
for (const command of requests.filter((command) => !command.includes('-T .'))) {
  test.serial(command, async (t) => {
    const {path, init} = requestOf(command)
    t.true(path.startsWith('/'))
    const answer = await app.ask(t, path, init)
    t.is(answer.status, 200, answer.text)
  })
}

test("README's table of variables is the one that npm run docs writes", (t) => {
  t.is(readme, withConfiguration(readme))
})

/** What `gcloud topic escaping` says of a dictionary: `^DELIM^` before it replaces the comma. */
function envVarsOf(command: string): Record<string, string> {
  const flag = (parse(command) as string[]).find((word) => word.startsWith('--set-env-vars='))
  const [, delimiter = ',', items = ''] = /^--set-env-vars=(?:\^([^^]+)\^)?(.*)$/.exec(flag ?? '') ?? []
  return Object.fromEntries(items.split(delimiter).map((item) => item.split(/=(.*)/, 2)))
}

test.serial('the variables of every deploy are ones that the configuration takes', async (t) => {
  const {readConfig} = await import('../src/core/config.ts')
  const commands = [...readme.matchAll(/^gcloud functions deploy (?:.*\\\n)*.*$/gm)].map(([command]) =>
    envVarsOf(command),
  )
  t.true(commands.length >= 3)
  for (const env of commands) t.notThrows(() => readConfig(env).backendOf('ping.PingService'), JSON.stringify(env))
  const [lists] = commands.filter((env) => env.GATEWAY_SERVICES)
  t.deepEqual(readConfig(lists ?? {}).gateway.services, ['ping.PingService', 'Users'])
})

test.serial('the chat answers each line before the next one is typed', async (t) => {
  const command = requests.find((text) => text.includes('-T .')) ?? ''
  const words = parse(command) as string[]
  const header = words[words.indexOf('-H') + 1]?.split(': ') ?? []
  const path = words.at(-1)?.replace('http://localhost:8080', '') ?? ''
  const method = words[words.indexOf('-X') + 1] ?? ''
  const sent = request(app.url(path), {method, headers: {[header[0] ?? '']: header[1] ?? ''}})
  const response = once(sent, 'response')
  const said = ['hi', 'how are you?', 'bye']
  let answers: AsyncIterator<string> | undefined
  for (const content of said) {
    sent.write(`${JSON.stringify({content})}\n`)
    answers ??= createInterface({input: ((await response) as [IncomingMessage])[0]})[Symbol.asyncIterator]()
    const {value} = await answers.next()
    t.deepEqual(JSON.parse(value), {reply: `You said: ${content}`})
  }
  sent.end()
  t.true((await answers?.next())?.done)
})

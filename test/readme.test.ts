import test from 'ava'
import {parse} from 'shell-quote'
import {putSamples} from '../local/samples.ts'
import {withConfiguration} from '../scripts/docs.ts'
import {type App, startApp} from './helpers/app.ts'
import {requestOf, requestsIn, succeeds, textOf} from './helpers/commands.ts'

const readme = textOf('README.md')
const requests = requestsIn('README.md')

let app: App
test.before(async () => {
  app = await startApp({env: {UPLOAD_CONTEXT: 'creatorId=storage; name={object}', MCP: 'true'}})
  await putSamples(app.storage)
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test('README has a request for every function', (t) => {
  for (const name of ['ping', 'upload', 'finalized', 'health', 'api'])
    t.true(
      requests.some((command) => command.includes(`/${name}`)),
      name,
    )
})

for (const command of requests) test.serial(command, (t) => succeeds(t, app, command))

const [, called = ''] = /^## What you can call it with\n([\s\S]*?)^## /m.exec(readme) ?? []
const lines = [...called.matchAll(/\| `(curl .*?)` \|$/gm)].map(([, command = '']) => command)

for (const command of lines.filter((line) => !requests.includes(line)))
  test.serial(`in the table: ${command}`, (t) => succeeds(t, app, command))

test('the line of gRPC-Web gets an answer and a status', async (t) => {
  const {path, init} = requestOf(lines.find((line) => line.includes('grpc-web'))!)
  const answer = Buffer.from((await app.ask(t, path, init)).text, 'base64').toString()
  t.regex(answer, /hi.*grpc-status: 0\r\n$/s)
})

test('README has a line for each protocol', (t) => {
  for (const words of ['REST', 'Connect', 'gRPC-Web']) t.regex(called, new RegExp(`^\\| .*${words}.*curl`, 'm'))
})

test("README's table of variables is the one that npm run docs writes", (t) => {
  t.is(readme, withConfiguration(readme))
})

/** Parses --set-env-vars by the rules of `gcloud topic escaping`: `^DELIM^` at the beginning replaces the comma. */
function envVarsOf(command: string): Record<string, string> {
  const flag = (parse(command) as string[]).find((word) => word.startsWith('--set-env-vars='))
  const [, delimiter = ',', items = ''] = /^--set-env-vars=(?:\^([^^]+)\^)?(.*)$/.exec(flag ?? '') ?? []
  return Object.fromEntries(items.split(delimiter).map((item) => item.split(/=(.*)/, 2)))
}

test.serial('the configuration accepts the variables of every deploy command', async (t) => {
  const {readConfig} = await import('../src/core/config.ts')
  const texts = [readme, textOf('docs/deploy.md'), textOf('docs/security.md'), textOf('docs/events.md')].join('\n')
  const deploys = /^gcloud (?:functions deploy|run deploy .* --function=)(?:.*\\\n)*.*$/gm
  const commands = [...texts.matchAll(deploys)].map(([command]) => envVarsOf(command))
  t.true(commands.length >= 5)
  for (const env of commands) t.notThrows(() => readConfig(env).backendOf('ping.PingService'), JSON.stringify(env))
  const [lists] = commands.filter((env) => env.GATEWAY_SERVICES)
  t.deepEqual(readConfig(lists ?? {}).gateway.services, ['ping.PingService', 'Repo'])
})

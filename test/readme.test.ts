import test from 'ava'
import {parse} from 'shell-quote'
import {putSamples} from '../local/samples.ts'
import {withConfiguration} from '../scripts/docs.ts'
import {type App, startApp} from './helpers/app.ts'
import {requestsIn, succeeds, textOf} from './helpers/commands.ts'

const readme = textOf('README.md')
const requests = requestsIn('README.md')

let app: App
test.before(async () => {
  app = await startApp({env: {UPLOAD_CONTEXT: 'creatorId=storage; name={object}'}})
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
  const texts = [readme, textOf('docs/deploy.md'), textOf('docs/security.md'), textOf('docs/events.md')].join('\n')
  const deploys = /^gcloud (?:functions deploy|run deploy .* --function=)(?:.*\\\n)*.*$/gm
  const commands = [...texts.matchAll(deploys)].map(([command]) => envVarsOf(command))
  t.true(commands.length >= 5)
  for (const env of commands) t.notThrows(() => readConfig(env).backendOf('ping.PingService'), JSON.stringify(env))
  const [lists] = commands.filter((env) => env.GATEWAY_SERVICES)
  t.deepEqual(readConfig(lists ?? {}).gateway.services, ['ping.PingService', 'Repo'])
})

import test from 'ava'
import type {Runtime} from '../../src/clients/runtime.ts'
import {ConfigError} from '../../src/core/config.ts'
import {gateway} from '../../src/functions/gateway.ts'
import {health} from '../../src/functions/health.ts'
import {byPath} from '../../src/http/by-path.ts'
import {everyFunction} from '../../src/http/every-function.ts'
import {json} from '../../src/http/response/reply.ts'
import type {Handler} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const says = (what: string) => () => () => json({what})
const unset = (): Handler => {
  throw new ConfigError('OWN_VARIABLE is not set')
}

/** The answer at `path` if all `functions` are served at once. */
async function answerAt(path: string, functions: Readonly<Record<string, (runtime: Runtime) => Handler>>) {
  const {url, close} = await app.serve(everyFunction(app.runtime, functions))
  const answer = await fetch(url + path)
  const body = (await answer.json()) as {what?: string; error?: {message: string}}
  await close()
  return [answer.status, body.what ?? body.error?.message ?? 'other'] as const
}

const table = {
  app: (runtime: Runtime) => byPath(runtime, {'/health': health, '/own': says('own of app')}, gateway),
  gateway,
  health,
  own: says('own of the table'),
  greet: says('greet'),
  unset,
}

const answers: [path: string, status: number, what: string][] = [
  ['/greet', 200, 'greet'],
  ['/own', 200, 'own of app'],
  ['/health', 200, 'other'],
  ['/api/ping?message=hi', 200, 'other'],
  ['/greet/more', 404, 'Cannot find "/greet/more": no method is bound to this path'],
  ['/app', 404, 'Cannot find "/app": no method is bound to this path'],
  ['/gateway', 404, 'Cannot find "/gateway": no method is bound to this path'],
  ['/toString', 404, 'Cannot find "/toString": no method is bound to this path'],
  ['/unset', 503, '/unset is not served: OWN_VARIABLE is not set'],
]
for (const [path, status, what] of answers) {
  test.serial(`all functions at once, at ${path}: ${what}`, async (t) => {
    t.deepEqual(await answerAt(path, table), [status, what])
  })
}

test.serial('where the schema is fetched by reflection, each function is at its name too', async (t) => {
  const reflecting = await startApp({env: {GATEWAY_SCHEMA: 'reflection'}})
  t.teardown(() => reflecting.close())
  const functions = {gateway, greet: says('greet')}
  const {url, close} = await reflecting.serve(everyFunction(reflecting.runtime, functions))
  const answerTo = async (path: string) => {
    const answer = await fetch(url + path)
    return [answer.status, await answer.text()] as const
  }
  t.deepEqual(await answerTo('/greet'), [200, '{"what":"greet"}'])
  t.is((await answerTo('/api/ping?message=hi'))[0], 200)
  t.is((await answerTo('/greet/more'))[0], 404)
  await close()
})

test.serial('without app, and without a gateway, each function is at its name', async (t) => {
  const {app: _, ...others} = table
  t.deepEqual(await answerAt('/own', others), [200, 'own of the table'])
  t.deepEqual((await answerAt('/api/ping?message=hi', others))[0], 200)
  const [status, message] = await answerAt('/', {greet: says('greet')})
  t.deepEqual([status, message], [404, 'There is nothing at this path: expected one of /greet'])
  t.deepEqual(await answerAt('/greet', {greet: says('greet')}), [200, 'greet'])
})

test.serial('the page shows all functions, except for one whose path the gateway has', async (t) => {
  const shown = await startApp({env: {CONSOLE: 'true', MCP: 'true'}})
  t.teardown(() => shown.close())
  const {url, close} = await shown.serve(everyFunction(shown.runtime, {...table, mcp: says('mcp of the table')}))
  t.teardown(close)
  const schema = (await (await fetch(`${url}/console/schema.json`)).json()) as {functions: {path: string}[]}
  t.deepEqual(schema.functions.map(({path}) => path).sort(), ['/greet', '/health', '/own', '/unset'])
})

test('an error of a function is thrown at start, unless only its configuration is missing', (t) => {
  const broken = () => {
    throw new TypeError('no such thing')
  }
  t.throws(() => everyFunction(app.runtime, {...table, broken}), {instanceOf: TypeError})
  t.throws(() => everyFunction(app.runtime, {...table, app: unset}), {instanceOf: ConfigError})
})

import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {stepsIn} from '../helpers/commands.ts'
import {type Project, projectWithoutSamples} from '../helpers/project.ts'
import {anyLeft, interrupt, runScript, type Started} from '../helpers/start.ts'

/** A project that somebody edits while `npm start` serves it. */
class Work {
  readonly project: Project
  readonly started: Started
  url = ''
  #seen = 0

  constructor(t: ExecutionContext) {
    this.project = projectWithoutSamples(t)
    this.started = runScript(t, 'start', {PORT: '0'}, this.project.folder)
  }

  async ready(): Promise<void> {
    this.url = (await this.started.line(/^ready /)).slice('ready '.length)
  }

  /** Changes a file, and returns the line with the result. */
  async change(path: string, change: (text: string) => string): Promise<string> {
    const file = join(this.project.folder, path)
    this.#seen = this.started.lines.length
    writeFileSync(file, change(readFileSync(file, 'utf8')))
    return await this.started.line(/^(restarted|failed|stopped) /, this.#seen)
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.project.folder, path), text)
  }

  /** Uses a new connection. */
  fetch(path: string): Promise<Response> {
    return fetch(`${this.url}${path}`, {headers: {connection: 'close'}})
  }
}

test('npm start serves changes, keeps its port and the last good functions, and leaves nothing behind', async (t) => {
  t.timeout(180_000)
  const work = new Work(t)
  await work.ready()
  t.true(work.started.lines.some((line) => line.includes(`${work.url}/upload`)))

  t.is((await work.fetch('/greet?name=Ada')).status, 404)
  const [greet, row] = stepsIn('docs/own-function.md').filter((step) => step.kind !== 'command')
  if (greet?.kind !== 'file' || row?.kind !== 'change') return t.fail('docs/own-function.md has a file and a row')
  work.write(greet.path, greet.text)
  const added = await work.change(row.path, (text) => text.replace(row.before, () => row.after))
  t.regex(added, /^restarted {2}in \S+ s, as .*src\/deployed\.ts.* changed/)
  const answer = await work.fetch('/greet?name=Ada')
  t.deepEqual(await answer.json(), {greeting: 'Hello Ada'})
  const shown = (await (await work.fetch('/console/schema.json')).json()) as {functions: {path: string}[]}
  t.true(
    shown.functions.some(({path}) => path === '/greet'),
    'the page has the function',
  )

  const broken = await work.change(greet.path, (text) => text.replace('json({', 'json({{'))
  t.regex(broken, /^failed .*src\/functions\/greet\.ts changed: .* still answer/)
  t.true(
    work.started.lines.some((line) => line.includes('SyntaxError')),
    'the error is shown',
  )
  t.is((await work.fetch('/ping?message=hi')).status, 200)

  // Changes during the error are served once it is fixed.
  const proto = 'proto/ping/ping.proto'
  const rule = 'get: "/api/ping"'
  t.regex(await work.change(proto, (text) => text.replace(rule, 'get: "/api/pong"')), /^failed .*ping\.proto changed/)
  t.is((await work.fetch('/api/pong?message=hi')).status, 404)

  // Requests at any time of a restart are answered.
  let answers = 0
  let restarting = true
  const asking = (async () => {
    while (restarting) {
      t.is((await work.fetch('/ping?message=hi')).status, 200)
      answers++
    }
  })()
  const mended = await work.change(greet.path, (text) => text.replace('json({{', 'json({'))
  t.regex(mended, /^restarted .*src\/functions\/greet\.ts changed; new: GET \/api\/pong$/)
  restarting = false
  await asking
  t.true(answers > 0)

  t.is((await work.fetch('/api/pong?message=hi')).status, 200)
  t.is((await work.fetch('/api/ping:upstream?message=hi')).status, 200, 'its services ask each other')

  t.regex(
    await work.change(proto, (text) => `${text}\nmessage {`),
    /^failed .*ping\.proto changed: npm run generate failed; /,
  )
  t.is((await work.fetch('/api/pong?message=hi')).status, 200)

  t.regex(await work.change(proto, (text) => text.replace('\nmessage {', '')), /^restarted /)

  // Functions that end by themselves are not available until the next change.
  const from = work.started.lines.length
  await work.change(greet.path, (text) => text.replace('return json(', 'process.exit(3)\n    return json('))
  await t.throwsAsync(work.fetch('/greet?name=Ada'))
  t.regex(await work.started.line(/^stopped /, from), /ended with exit code 3/)
  const down = await work.fetch('/greet?name=Ada')
  t.is(down.status, 503)
  t.regex(((await down.json()) as {error: {message: string}}).error.message, /start again at the next change/)
  await work.change(greet.path, (text) => text.replace('process.exit(3)\n    ', ''))
  t.is((await work.fetch('/greet?name=Ada')).status, 200)

  // So are services.
  work.write('local/services.ts', 'setTimeout(() => process.exit(4), 100)\nexport const services = []\n')
  await work.started.line(/^stopped .*the services ended with exit code 4/)
  await work.change('local/services.ts', () => 'export const services = []\n')
  t.is((await work.fetch('/api/pong?message=hi')).status, 200)

  interrupt(work.started)
  t.is(await work.started.exited, 0)
  t.false(anyLeft(work.started))
})

test('only FUNCTION_TARGET is served, as it is deployed, and --json prints it in JSON', async (t) => {
  const started = runScript(
    t,
    'grpc-functions',
    {PORT: '0', FUNCTION_TARGET: 'gateway', NODE_ENV: 'production'},
    undefined,
    ['dev', '--json'],
  )
  const ready = JSON.parse(await started.line(/^\{"event":"ready"/)) as {url: string; routes: {path: string}[]}
  t.true(ready.routes.some(({path}) => path === '/api/ping'))
  t.is((await fetch(`${ready.url}/api/ping?message=hi`)).status, 200)
  t.is((await fetch(`${ready.url}/ping?message=hi`)).status, 404)
  t.deepEqual(
    started.lines.filter((line) => !line.startsWith('{')),
    [],
  )
  interrupt(started)
  t.is(await started.exited, 0)
})

import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join, relative, resolve} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {parse} from 'shell-quote'
import {program} from '../local/cli/program.ts'
import {startBackend} from '../local/grpc/backend.ts'
import {putSamples} from '../local/samples.ts'
import {isNamedBy, settings} from '../src/core/settings.ts'
import {type App, startApp} from './helpers/app.ts'
import {requestOf, requestsIn, type Step, stepsIn, succeeds, textOf} from './helpers/commands.ts'
import {type Project, projectWithoutSamples} from './helpers/project.ts'
import {interrupt, runScript, type Started} from './helpers/start.ts'

const root = join(import.meta.dirname, '..')
const guides = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`)
const documents = ['README.md', 'CONTRIBUTING.md', 'samples/README.md', ...guides]

let app: App
test.before(async () => {
  app = await startApp({env: {UPLOAD_SESSIONS: 'samples/incoming/', MCP: 'true'}})
  await putSamples(app.storage)
})
test.after.always(() => app.close())

for (const guide of ['docs/upload.md', 'docs/agents.md']) {
  for (const command of requestsIn(guide)) test.serial(`${guide}: ${command}`, (t) => succeeds(t, app, command))
}

test("the function in docs/upload.md is this project's own", (t) => {
  const [file] = stepsIn('docs/upload.md').filter((step) => step.kind === 'file')
  t.is(file?.text, textOf('src/functions/upload.ts'))
})

/** A reader of the guides: a project, and the functions as the reader has started them. */
class Reader {
  readonly #t: ExecutionContext
  readonly project: Project
  #started: Started | undefined
  #url = ''

  readonly #backend: string

  /** @param backend the URL to use in place of http://localhost:9090 */
  constructor(t: ExecutionContext, backend = '') {
    this.#t = t
    this.#backend = backend
    this.project = projectWithoutSamples(t)
  }

  async does(step: Step): Promise<void> {
    if (step.kind === 'file') await this.#write(step.path, step.text)
    else if (step.kind === 'change') await this.#change(step)
    else await this.#run(step.text)
  }

  fetch(path: string, init?: RequestInit): Promise<Response> {
    return fetch(`${this.#url}${path}`, init)
  }

  async stops(): Promise<void> {
    if (!this.#started) return
    interrupt(this.#started)
    await this.#started.exited
    this.#started = undefined
  }

  /** Writes a file. If the functions are running, waits until they are those of the new text. */
  async #write(path: string, text: string): Promise<void> {
    const from = this.#started?.lines.length
    const file = join(this.project.folder, path)
    mkdirSync(dirname(file), {recursive: true})
    writeFileSync(file, text)
    if (/^(src|proto|local)\//.test(path)) await this.#started?.line(/^restarted /, from)
  }

  async #change({path, before, after}: Extract<Step, {kind: 'change'}>): Promise<void> {
    const text = readFileSync(join(this.project.folder, path), 'utf8')
    this.#t.is(text.split(before).length, 2, `${path} has these lines once:\n${before}`)
    await this.#write(
      path,
      text.replace(before, () => after),
    )
  }

  async #run(command: string): Promise<void> {
    const [, variables] = /^((?:[A-Z_]+=\S+ )*)npm start$/.exec(command) ?? []
    if (variables !== undefined) {
      await this.stops()
      const env = Object.fromEntries(variables.split(' ').flatMap((text) => (text ? [text.split('=', 2)] : [])))
      this.#started = runScript(this.#t, 'start', {...env, PORT: '0'}, this.project.folder)
      this.#url = (await this.#started.line(/^ready /)).slice('ready '.length)
    } else if (command.startsWith('curl ')) {
      const {path, init} = requestOf(command)
      const response = await this.fetch(path, init)
      this.#t.is(response.status, 200, `${command}: ${await response.text()}`)
    } else {
      const [program = '', ...args] = parse(command.replace('http://localhost:9090', this.#backend)) as string[]
      this.#t.true(['npm', 'npx'].includes(program), `Nobody runs "${command}"`)
      // Runs the command directly: npx would take longer to find it than to run it. The packages' tests use npx.
      const words = args[0] === 'grpc-functions' ? ['node', 'local/cli/main.ts', ...args.slice(1)] : [program, ...args]
      const url = this.#url && {PORT: new URL(this.#url).port}
      await this.project.run(words, {...url})
    }
  }
}

test('a reader who follows the guides, one after the other, gets what they say', async (t) => {
  const reader = new Reader(t)
  for (const step of stepsIn('docs/first-api.md')) await reader.does(step)
  const post = (body: string) =>
    reader.fetch('/v1/books', {method: 'POST', body, headers: {'content-type': 'application/json'}})
  const created = await post('{"title": "Emma"}')
  t.is(created.status, 501)
  t.regex(await created.text(), /add it to local\/services\.ts/)
  t.is((await post('{"titel": "Emma"}')).status, 400)
  for (const step of stepsIn('docs/own-function.md')) await reader.does(step)
  t.deepEqual(await (await reader.fetch('/greet?name=Ada')).json(), {greeting: 'Hello Ada'})
  t.is((await reader.fetch('/greet', {method: 'POST'})).status, 405)
  await reader.stops()
  for (const step of stepsIn('docs/tests.md')) await reader.does(step)
  await reader.project.run(['npm', 'run', 'check'])
  for (const step of stepsIn('docs/rules.md')) await reader.does(step)
  for (const step of stepsIn('docs/reflection.md')) await reader.does(step)
  for (const step of stepsIn('docs/migrating.md')) await reader.does(step)
  const failed = (await (await reader.fetch('/nowhere')).json()) as object
  t.deepEqual(Object.keys(failed).slice(0, 2), ['code', 'message'])
  await reader.stops()
})

test('every command of docs/commands.md does what it says', async (t) => {
  const backend = await startBackend()
  t.teardown(() => backend.close())
  const reader = new Reader(t, backend.url)
  const steps = stepsIn('docs/commands.md').filter(({kind}) => kind === 'command')
  for (const step of steps) await reader.does(step)
  const files = readdirSync(reader.project.folder)
  for (const made of ['openapi.yaml', 'all.binpb', 'my-api']) t.true(files.includes(made), made)
  await reader.stops()
  for (const command of program.commands) {
    t.true(textOf('docs/commands.md').includes(`\`${command.name()}`), command.name())
    t.regex(command.helpInformation(), /--json/, command.name())
  }
})

test('links in documents have a target', (t) => {
  for (const document of documents) {
    for (const [, link = ''] of textOf(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue
      const [path = '', heading] = link.split('#')
      const target = path ? relative(root, resolve(root, dirname(document), path)) : document
      t.notThrows(() => readFileSync(join(root, target)), `${document}: ${link}`)
      if (heading) t.true(headingsOf(target).includes(heading), `${document}: ${link}`)
    }
  }
})

function headingsOf(document: string): string[] {
  const headings = [...textOf(document).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading)
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

/** Quoted words in capitals from the source, which look like variables: reasons of errors, among others. */
const quotedInSource = new Set(
  readdirSync(join(root, 'src'), {recursive: true, encoding: 'utf8'})
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => [...readFileSync(join(root, 'src', path), 'utf8').matchAll(/'([A-Z_]+)'/g)])
    .map(([, word = '']) => word),
)

test('guides name only variables that exist', (t) => {
  const known = [...Object.keys(settings), ...quotedInSource]
  for (const guide of guides) {
    for (const [, name = ''] of textOf(guide).matchAll(/\b([A-Z]+(?:_[A-Z]+)+)\b(?!<)/g)) {
      if (/^(BACKEND|GATEWAY|UPLOAD|CORS|OPENAPI|AUTH|MAX|TRUSTED)_/.test(name))
        t.true(
          known.some((each) => each === name || isNamedBy(each, name)),
          `${guide}: ${name}`,
        )
    }
  }
})

import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import test from 'ava'
import {parse as parseShell} from 'shell-quote'
import {parse as parseYaml} from 'yaml'
import {isNamedBy, settings} from '../src/core/settings.ts'
import {livePath} from '../src/http/own-paths.ts'
import {problemOf} from './gcloud.ts'
import {textOf} from './helpers/commands.ts'
import {hcl} from './helpers/hcl.ts'

const root = join(import.meta.dirname, '..')
const module = 'deploy/terraform'

type Hcl = Record<string, Record<string, unknown>>

async function parsed(file: string): Promise<Hcl> {
  return await hcl(file, textOf(file))
}

/** All files of the module as one: blocks by kind, then by their first label. */
async function wholeModule(): Promise<Hcl> {
  const whole: Hcl = {}
  for (const name of readdirSync(join(root, module))) {
    for (const [kind, blocks] of Object.entries(await parsed(join(module, name)))) {
      // Locals have no label.
      const labelled = Array.isArray(blocks) ? Object.assign({}, ...blocks) : blocks
      whole[kind] = mergedByLabel(whole[kind] ?? {}, labelled)
    }
  }
  return whole
}

function mergedByLabel(before: Record<string, unknown>, more: Record<string, unknown>): Record<string, unknown> {
  const both = Object.entries(more).map(([label, value]) => {
    const isLabelled = typeof value === 'object' && value !== null && !Array.isArray(value)
    return [label, isLabelled ? {...(before[label] as object), ...value} : value]
  })
  return {...before, ...Object.fromEntries(both)}
}

/** All strings in `value`. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, item]) => [key, ...textsIn(item)])
    : []
}

test('the Terraform module parses, and declares everything that it refers to', async (t) => {
  const {variable = {}, locals = {}, resource = {}, data = {}} = await wholeModule()
  const declared = new Set([
    ...Object.keys(variable).map((name) => `var.${name}`),
    ...Object.keys(locals).map((name) => `local.${name}`),
    ...Object.entries(resource).flatMap(([type, named]) =>
      Object.keys(named as object).map((name) => `${type}.${name}`),
    ),
    ...Object.entries(data).flatMap(([type, named]) =>
      Object.keys(named as object).map((name) => `data.${type}.${name}`),
    ),
  ])
  const code = readdirSync(join(root, module))
    .map((name) =>
      textOf(join(module, name))
        .replace(/^\s*#.*$/gm, '')
        .replace(/^\s*description\s*=.*$/gm, ''),
    )
    .join('\n')
  const used = code.matchAll(/(?<![\w."/-])(?:(?:var|local)\.\w+|(?:data\.)?google_\w+\.\w+)/g)
  const names = [...new Set([...used].map(([name]) => name))]
  t.true(names.length > 15)
  t.deepEqual(
    names.filter((name) => !declared.has(name)),
    [],
  )
  t.deepEqual(
    Object.keys(variable).filter((name) => !names.includes(`var.${name}`)),
    [],
    'each variable is used',
  )
})

test('the module grants the fewest roles, and has open probes and variables that the functions know', async (t) => {
  const whole = await wholeModule()
  const texts = textsIn(whole)
  t.deepEqual([...new Set(texts.filter((text) => text.startsWith('roles/')))].sort(), [
    'roles/eventarc.eventReceiver',
    'roles/pubsub.publisher',
    'roles/pubsub.subscriber',
    'roles/run.invoker',
    'roles/storage.objectViewer',
  ])
  t.true(texts.includes(livePath))
  const main = textOf(`${module}/main.tf`)
  for (const probe of ['startup_probe', 'readiness_probe'])
    t.regex(main, new RegExp(`${probe} \\{[^}]+path = local\\.live`))
  t.regex(main, /startup_cpu_boost = true/)
  const [, environment = ''] = /merge\(\{([^}]+)\}/.exec(main) ?? []
  const variables = [...environment.matchAll(/^\s*([A-Z_]+)\s*=/gm)].map(([, name]) => name!)
  t.true(variables.length >= 5)
  t.deepEqual(
    variables.filter((name) => !Object.keys(settings).some((row) => isNamedBy(row, name))),
    [],
  )
})

test("docs/deploy.md describes the module's variables as they are", async (t) => {
  const [, block = ''] = /^```hcl\n([\s\S]*?)^```$/m.exec(textOf('docs/deploy.md')) ?? []
  const used = await hcl<{module: {functions: [Record<string, unknown>]}}>('example.tf', block)
  const {source, functions, ...given} = used.module.functions[0]
  const {variable = {}} = await wholeModule()
  t.is(source, './deploy/terraform')
  const required = Object.entries(variable as Record<string, [object]>).filter(([, [row]]) => !('default' in row))
  t.deepEqual(
    required.map(([name]) => name).filter((name) => !(name in given) && name !== 'functions'),
    [],
  )
  t.deepEqual(
    Object.keys(given).filter((name) => !(name in variable)),
    [],
  )
  const deployed = [...textOf('src/deployed.ts').matchAll(/^ {2}(\w+): \(runtime\)/gm)].map(([, name]) => name!)
  for (const [name, about] of Object.entries(functions as Record<string, Record<string, unknown>>)) {
    t.true(deployed.includes(name), name)
    for (const key of Object.keys(about))
      t.regex(textOf(`${module}/variables.tf`), new RegExp(`^ +${key} += optional\\(`, 'm'))
  }
})

interface Workflow {
  readonly permissions: Record<string, string>
  readonly jobs: Record<
    string,
    {permissions: Record<string, string>; steps: {uses?: string; run?: string; with?: Record<string, string>}[]}
  >
}

test('the workflow deploys without a key, and its tokens cannot write', (t) => {
  const text = textOf('deploy/github.yml')
  const {permissions, jobs} = parseYaml(text) as Workflow
  t.deepEqual(permissions, {contents: 'read'})
  t.notRegex(text, /secrets\.|credentials_json/)
  const [job] = Object.values(jobs)
  t.deepEqual(job?.permissions, {contents: 'read', 'id-token': 'write'})
  const auth = job?.steps.find(({uses}) => uses?.startsWith('google-github-actions/auth@'))
  t.truthy(auth?.with?.workload_identity_provider)
  t.deepEqual(
    job?.steps.flatMap(({run}) => (run?.startsWith('npm') ? [run] : [])),
    ['npm ci', 'npm test'],
  )
})

test('the container of the local services has all that they need, and ends on SIGTERM', async (t) => {
  const lines = textOf('deploy/backend.Dockerfile').split('\n')
  const folder = mkdtempSync(join(tmpdir(), 'container-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  for (const line of lines.filter((line) => line.startsWith('COPY '))) {
    const [to = '', ...from] = line.slice('COPY '.length).split(' ').reverse()
    for (const path of from) cpSync(join(root, path), join(folder, to.endsWith('/') ? path : to), {recursive: true})
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const [, command = ''] = /^CMD (.*)$/m.exec(lines.join('\n')) ?? []
  const [program, ...args] = JSON.parse(command) as string[]
  t.is(program, 'node')
  const env = {...process.env, PORT: '0', K_SERVICE: 'backend'}
  const child = spawn(process.execPath, args, {cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit']})
  t.teardown(() => child.kill('SIGKILL'))
  for await (const line of createInterface({input: child.stdout})) if (/ready/.test(line)) break
  child.stdout.resume()
  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  t.is(code, 0)
})

const documents = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  'packages/create-grpc-functions/template/README.md',
  'deploy/github.yml',
]

/** Each command in a document that begins with `gcloud`, split into words. */
function commandsIn(document: string): string[][] {
  const text = textOf(document).replace(/\$\{\{[^}]*\}\}/g, 'VALUE')
  const commands = [...text.matchAll(/^ *gcloud (?:.*\\\n)*.*$/gm)].map(([command]) => command.replaceAll('\\\n', ' '))
  // A shell operator is an object.
  return commands.map((command) =>
    parseShell(command).map((word) => (typeof word === 'string' ? word : JSON.stringify(word))),
  )
}

for (const document of documents) {
  test(`gcloud accepts each of its commands in ${document}`, (t) => {
    const problems = commandsIn(document).flatMap(([, ...words]) => problemOf(words) ?? [])
    t.deepEqual(problems, [])
  })
}

test('a command that gcloud would refuse is detected', (t) => {
  t.is(problemOf(['run', 'deploy', 'x', '--regoin=a']), 'gcloud run deploy: unknown flag --regoin=a')
  t.is(problemOf(['run', 'deploy', 'x', '--region']), 'gcloud run deploy: unknown flag --region')
  t.is(
    problemOf(['run', 'deploy', 'x', '--use-http2=true', '--region=a']),
    'gcloud run deploy: unknown flag --use-http2=true',
  )
  t.is(problemOf(['run', 'deploy', 'x', 'y', '--region=a']), 'gcloud run deploy: expected 1 name, got x,y')
  t.is(problemOf(['run', 'deploy', 'x']), 'gcloud run deploy: --region is missing')
  t.is(problemOf(['run', 'destroy', 'x']), 'gcloud run destroy x: no command that is known here')
  t.is(problemOf(['run', 'deploy', 'x', '--region=a']), undefined)
  t.true(documents.flatMap(commandsIn).length >= 30)
})

import {execFile, execFileSync, spawn} from 'node:child_process'
import {once} from 'node:events'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import {promisify} from 'node:util'
import test, {type ExecutionContext} from 'ava'
import {startFunctions} from '../local/functions.ts'
import {pattern} from '../local/samples.ts'
import {sampleBucket, startStack} from '../local/stack.ts'
import {bundle} from '../tools/bundle/bundle.ts'
import {leftOut, linkPackages, root, send} from '../tools/deployment.ts'
import {stepsIn} from './helpers/commands.ts'
import {compileCache} from './helpers/compile-cache.ts'

const {PATH} = process.env

/** The files that are deployed, before the build. */
function deployed(): string {
  const folder = mkdtempSync(join(tmpdir(), 'deployed-'))
  send(folder, root)
  linkPackages(folder, root)
  return folder
}

test.serial('a deploy sends only the files that a function is built and run from', (t) => {
  const folder = deployed()
  t.teardown(() => rmSync(folder, {recursive: true}))
  t.deepEqual(readdirSync(folder).sort(), ['node_modules', 'package-lock.json', 'package.json', 'src', 'tools'])
  t.deepEqual(readdirSync(join(folder, 'tools')), ['bundle'])
})

for (const name of [
  '.env',
  '.env.local',
  '.env.yaml',
  '.env/production',
  'production.env',
  '.envrc',
  '.npmrc',
  '.netrc',
  '.git-credentials',
  '.ssh/config',
  '.kube/config',
  '.docker/config.json',
  '.pgpass',
  '.htpasswd',
  '.vault-token',
  '.secrets',
  'env.yaml',
  'production.env.yaml',
  'terraform.tfstate',
  'terraform.tfstate.backup',
  'production.tfvars',
  'private-key.txt',
  'client-secret.txt',
  'passwords.txt',
  'sa.json',
  'server.pem',
  'SERVER.PEM',
  'server.key',
  'private.p8',
  'certificate.p12',
  'certificate.pfx',
  'store.jks',
  'id_rsa',
  'id_ed25519',
  'id_ed25519.pub',
  'credentials.json',
  'Credentials.json',
  'my-credentials.json',
  'application_default_credentials.json',
  'credential.prod.json',
  'credentials.yaml',
  'gcp-creds.json',
  'token.json',
  'my-project-firebase-adminsdk-x1y2z-0123456789.json',
  'client_secret_123.apps.googleusercontent.com.json',
  'secrets.yml',
  'service-account.json',
  'service_account_key.json',
  'serviceAccount.json',
  'serviceAccountKey.json',
  'my-service-account-prod.json',
  'key.json',
  'sa-key.json',
  'api_keys.json',
  'my-project-0123456789ab.json',
  'kubeconfig',
]) {
  test.serial(`a deploy leaves ${name} out, wherever it is`, (t) => {
    for (const folder of ['', 'src/', 'src/functions/', 'src/functions/deep/er/'])
      t.true(leftOut(root).ignores(folder + name), folder)
  })
}

test.serial('a deploy leaves no source out whose name contains a word for secrets', (t) => {
  const tracked = execFileSync('git', ['ls-files', 'src'], {cwd: root, encoding: 'utf8'}).trim().split('\n')
  const made = [
    'credentials.ts',
    'secrets.js',
    'keys.ts',
    'environment.ts',
    'monkey.json',
    'all.binpb',
    'v1-20240101.json',
  ]
  t.true(tracked.length > 50)
  t.deepEqual(
    leftOut(root).filter([...tracked, ...made.map((name) => `src/functions/${name}`)]).length,
    tracked.length + made.length,
  )
})

test.serial('the buildpack accepts the main file', (t) => {
  const {main} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {main: string}
  t.notThrows(() => execFileSync(process.execPath, ['--check', join(root, main)]))
})

/** Starts `target` from the deployed files in `folder`, with its own stack. */
async function started(t: ExecutionContext, folder: string, target: string, env: Record<string, string> = {}) {
  const stack = await startStack()
  await stack.storage!.put(sampleBucket, 'hello.txt', pattern(100))
  const functions = await startFunctions({
    target,
    port: 0,
    root: folder,
    env: {PATH, ...compileCache, ...stack.env, LOG_LEVEL: 'silent', K_SERVICE: target, AUTH: 'none', ...env},
    output: 'pipe',
  })
  t.teardown(async () => {
    functions.process.kill()
    await functions.exited
    await stack.close()
  })
  return functions
}

const broken = `import type {Handler} from '../index.ts'

export function broken(): Handler {
  return () => {
    throw new TypeError('broken on purpose')
  }
}
`

/** The deployed files, together with the guides' function and a broken function, and built. The tests share it. */
const shared = deployed()

function change(path: string, from: string, to: string): void {
  const file = join(shared, path)
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace(from, () => to),
  )
}

test.before(async (t) => {
  for (const step of stepsIn('docs/own-function.md')) {
    if (step.kind === 'file') writeFileSync(join(shared, step.path), step.text)
    if (step.kind === 'change') change(step.path, step.before, step.after)
  }
  writeFileSync(join(shared, 'src/functions/broken.ts'), broken)
  const row = `  broken: () => require('./functions/broken.ts').broken(),\n`
  change('src/deployed.ts', '  gateway: (runtime)', `${row}  gateway: (runtime)`)
  const {cached, problems} = await bundle({root: shared, node: process.execPath})
  t.deepEqual(problems, [])
  t.deepEqual([...cached].sort(), ['app', 'broken', 'finalized', 'gateway', 'greet', 'health', 'mcp', 'ping', 'upload'])
})
test.after.always(() => rmSync(shared, {recursive: true}))

/** A new folder for the test. */
function own(t: ExecutionContext, folder: string): string {
  t.teardown(() => rmSync(folder, {recursive: true}))
  return folder
}

const job = JSON.stringify({bucket: 'samples', object: 'hello.txt', context: {creatorId: 'me', name: 'x'}})

/** The event that Eventarc sends when an object is finalized. */
const event = {
  method: 'POST',
  body: JSON.stringify({bucket: 'samples', name: 'hello.txt'}),
  headers: {
    ...{'ce-id': '1', 'ce-source': '//storage.googleapis.com/projects/_/buckets/samples', 'ce-specversion': '1.0'},
    ...{'ce-type': 'google.cloud.storage.object.v1.finalized', 'content-type': 'application/json'},
  },
}

const tools = JSON.stringify({jsonrpc: '2.0', id: 1, method: 'tools/list'})
const mcpHeaders = {'content-type': 'application/json', accept: 'application/json, text/event-stream'}

for (const [target, requests] of [
  ['ping', [['/?message=hi', {}]]],
  ['health', [['/', {}]]],
  [
    'gateway',
    [
      ['/api/ping?message=hi', {}],
      ['/openapi.json', {}],
    ],
  ],
  [
    'app',
    [
      ['/ping?message=hi', {}],
      ['/finalized', event],
    ],
  ],
  [
    'upload',
    [
      ['/?creatorId=me&name=x', {method: 'POST', body: 'data', headers: {'content-type': 'text/plain'}}],
      ['/', {method: 'POST', body: job, headers: {'content-type': 'application/json'}}],
    ],
  ],
  ['mcp', [['/', {method: 'POST', body: tools, headers: mcpHeaders}]]],
  ['finalized', [['/', event]]],
] as const) {
  test.serial(`${target} answers ${requests.map(([path]) => path).join(' and ')} from the build alone`, async (t) => {
    const {url} = await started(t, shared, target, {UPLOAD_CONTEXT: 'creatorId=me; name={object}'})
    for (const [path, init] of requests) {
      const response = await fetch(url + path, init)
      t.is(response.status, 200, `${path}: ${await response.text()}`)
    }
  })
}

test.serial(
  'the page, and sessions of uploads, are in the build, and paths that only npm start has are not',
  async (t) => {
    const {url} = await started(t, shared, 'app', {CONSOLE: 'true', UPLOAD_SESSIONS: 'samples/incoming/'})
    const statusOf = async (path: string, init?: RequestInit) => {
      const response = await fetch(url + path, init)
      return [response.status, (await response.text()).length > 0]
    }
    const headers = {accept: 'text/html'}
    for (const path of ['/', '/console/page.js', '/console/page.css', '/console/icon.svg', '/console/schema.json']) {
      t.deepEqual(await statusOf(path, {headers}), [200, true], path)
    }
    t.deepEqual(await statusOf('/console/local'), [404, true])
    t.deepEqual(await statusOf('/upload/session', {method: 'POST', body: '{"size": 5}'}), [200, true])
  },
)

test.serial('without a build, the deployed files run from source', async (t) => {
  const {url} = await started(t, own(t, deployed()), 'ping')
  t.is((await fetch(`${url}/?message=hi`)).status, 200)
})

test.serial('with a build, the build is served', async (t) => {
  const folder = own(t, deployed())
  mkdirSync(join(folder, 'dist'))
  const framework = `import {http} from '@google-cloud/functions-framework'`
  writeFileSync(
    join(folder, 'dist/deployed.js'),
    `${framework}\nhttp('built', (req, res) => res.send('from the build'))\n`,
  )
  const {url} = await started(t, folder, 'built')
  t.is(await (await fetch(url)).text(), 'from the build')
})

test.serial('grpc-functions build makes the same in this repository as npm run gcp-build', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'clone-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  send(folder, root)
  cpSync(join(root, 'local'), join(folder, 'local'), {recursive: true})
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  // Two functions are enough: each is warmed up in a process of its own, and the build that the tests share has all of them.
  const table = join(folder, 'src/deployed.ts')
  const rows = /^ {2}(?:app|finalized|health|mcp|upload): .*\n/gm
  writeFileSync(table, readFileSync(table, 'utf8').replace(rows, ''))
  const args = [join(folder, 'local/cli/main.ts'), 'build']
  // On Cloud Build, npm runs on the same Node as the functions later.
  const env = {...process.env, npm_node_execpath: process.execPath}
  const {stdout} = await promisify(execFile)(process.execPath, args, {cwd: folder, env})
  t.regex(stdout, /compile caches for gateway, ping$/m)
  t.notRegex(stdout, /No compile cache/)
})

test.serial("the guides' own function is built, and runs", async (t) => {
  const {url} = await started(t, shared, 'greet')
  const response = await fetch(`${url}/?name=Ada`)
  t.deepEqual(await response.json(), {greeting: 'Hello Ada'})
})

test.serial('a stack in the log of a build has files and lines of the source', async (t) => {
  const {url, process} = await started(t, shared, 'broken', {LOG_LEVEL: 'error'})
  const lines = createInterface({input: process.stdout!})
  const [response, [line]] = await Promise.all([fetch(url), once(lines, 'line')])
  t.is(response.status, 500)
  const {stack} = JSON.parse(line).err
  t.true(stack.includes(`${join(realpathSync(shared), 'src/functions/broken.ts')}:5:11`), stack)
  t.regex(stack, /src\/http\/[\w-]+\.ts:\d+:\d+/)
  t.notRegex(stack, /\.cjs/)
})

/** Code that prints the port of a server when it listens. */
const printPort = `import {subscribe} from 'node:diagnostics_channel'
subscribe('tracing:net.server.listen:asyncEnd', ({server}) => console.log('port ' + server.address().port))`

test.serial('npm start serves app where only the deployed files exist, until it is stopped', async (t) => {
  const stack = await startStack()
  t.teardown(() => stack.close())
  const env = {
    PATH: process.env.PATH,
    ...stack.env,
    PORT: '0',
    LOG_LEVEL: 'silent',
    K_SERVICE: 'app',
    AUTH: 'none',
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(printPort)}`,
  }
  const npm = spawn('npm', ['run', 'start'], {cwd: shared, env, stdio: ['ignore', 'pipe', 'inherit']})
  const exited = once(npm, 'exit')
  t.teardown(() => npm.kill('SIGKILL'))
  let port = ''
  for await (const line of createInterface({input: npm.stdout})) {
    port = /^port (\d+)$/.exec(line)?.[1] ?? ''
    if (port) break
  }
  npm.stdout.resume()
  t.is((await fetch(`http://localhost:${port}/ping?message=hi`)).status, 200)
  npm.kill()
  t.deepEqual(await exited, [0, null])
})

/** What a Node with `flags` has loaded from a build after its first request, and whether it rejected the compile cache. */
async function loaded(t: ExecutionContext, folder: string, flags: readonly string[] = []) {
  const stack = await startStack()
  t.teardown(() => stack.close())
  const script = `
    import {once} from 'node:events'
    import {get} from 'node:http'
    import {createRequire} from 'node:module'
    const require = createRequire(process.cwd() + '/dist/')
    const {scripts} = require('./deployed.js')
    const server = require('@google-cloud/functions-framework/testing').getTestServer('ping').listen(0, '127.0.0.1')
    await once(server, 'listening')
    const [response] = await once(get({port: server.address().port, path: '/?message=hi', agent: false}), 'response')
    await once(response.resume(), 'end')
    const files = Object.keys(require.cache).filter((file) => !/functions-framework/.test(file))
    const rejected = [...scripts].map(([name, script]) => [name, script.cachedDataRejected])
    console.log(JSON.stringify({status: response.statusCode, rejected: Object.fromEntries(rejected), files}))
    process.exit()`
  const args = [...flags, '--input-type=module', '--eval', script]
  const env = {
    ...stack.env,
    PATH: process.env.PATH,
    LOG_LEVEL: 'silent',
    FUNCTION_TARGET: 'ping',
    K_SERVICE: 'ping',
    AUTH: 'none',
  }
  const {stdout} = await promisify(execFile)(process.execPath, args, {cwd: folder, env})
  return JSON.parse(stdout) as {status: number; rejected: Record<string, boolean>; files: string[]}
}

test.serial(
  'a first call uses the compile cache, and loads neither unneeded packages nor a file for each module',
  async (t) => {
    const {status, rejected, files} = await loaded(t, shared)
    t.is(status, 200)
    // Only one script: those of Google's libraries were not loaded.
    t.deepEqual(rejected, {ping: false})
    const packages = new Set(files.map((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]))
    for (const name of [
      '@grpc/grpc-js',
      '@grpc/proto-loader',
      'protobufjs',
      'google-auth-library',
      'pino',
      'thread-stream',
    ]) {
      t.false(packages.has(name), name)
    }
  },
)

test.serial('a compile cache of other flags is rejected, and the function runs', async (t) => {
  const {status, rejected} = await loaded(t, shared, ['--stack-trace-limit=20'])
  t.is(status, 200)
  t.deepEqual(rejected, {ping: true})
})

for (const [title, spoil] of [
  ['cut short', (cache) => cache.subarray(0, cache.length / 2)],
  ['empty', () => Buffer.alloc(0)],
  ['of another version of V8', (cache) => cache.fill(1, 4, 8)],
  ['no compile cache at all', (cache) => cache.fill('x')],
] as const satisfies [string, (cache: Buffer<ArrayBuffer>) => Buffer][]) {
  test.serial(`a compile cache that is ${title} is rejected, and the function runs`, async (t) => {
    const folder = own(t, mkdtempSync(join(tmpdir(), 'spoilt-')))
    cpSync(shared, folder, {recursive: true, verbatimSymlinks: true})
    const file = join(folder, 'dist/functions/ping.cache')
    writeFileSync(file, spoil(readFileSync(file)))
    const {status, rejected} = await loaded(t, folder)
    t.is(status, 200)
    t.deepEqual(rejected, {ping: true})
  })
}

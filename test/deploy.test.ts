import {execFileSync} from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join, relative} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import ignore from 'ignore'
import {startFunctions} from '../local/functions.ts'
import {startStack} from '../local/stack.ts'
import {stepsIn} from './helpers/commands.ts'

const root = join(import.meta.dirname, '..')
const {packages} = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, {dev?: boolean; link?: boolean}>
}

/** What .gcloudignore keeps out; gcloud minds the case of letters, as Python's fnmatch does. */
const leftOut = () => ignore({ignorecase: false}).add(readFileSync(join(root, '.gcloudignore'), 'utf8'))

/** What gcloud would send, with the dependencies that are left after the buildpack has pruned. */
function deployed(): string {
  const folder = mkdtempSync(join(tmpdir(), 'deployed-'))
  const left = leftOut()
  for (const name of readdirSync(root)) {
    const sent = (path: string) => {
      const inside = relative(root, path)
      return !left.ignores(existsSync(join(path, '.')) ? `${inside}/` : inside)
    }
    if (name !== '.git' && name !== 'node_modules' && sent(join(root, name))) {
      cpSync(join(root, name), join(folder, name), {recursive: true, filter: sent})
    }
  }
  for (const [path, {dev, link}] of Object.entries(packages)) {
    if (!/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) || dev || link || !existsSync(join(root, path))) continue
    mkdirSync(dirname(join(folder, path)), {recursive: true})
    symlinkSync(join(root, path), join(folder, path))
  }
  return folder
}

test('a deploy sends what a function is built and run from, and nothing else', (t) => {
  const folder = deployed()
  t.teardown(() => rmSync(folder, {recursive: true}))
  t.deepEqual(readdirSync(folder).sort(), ['node_modules', 'package-lock.json', 'package.json', 'src'])
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
  test(`a deploy leaves ${name} out, wherever it is`, (t) => {
    for (const folder of ['', 'src/', 'src/functions/', 'src/functions/deep/er/'])
      t.true(leftOut().ignores(folder + name), folder)
  })
}

test('a deploy leaves no source out whose name is about secrets', (t) => {
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
    leftOut().filter([...tracked, ...made.map((name) => `src/functions/${name}`)]).length,
    tracked.length + made.length,
  )
})

test('the buildpack accepts the main file', (t) => {
  const {main} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {main: string}
  t.notThrows(() => execFileSync(process.execPath, ['--check', join(root, main)]))
})

/** Starts `target` from what is deployed in `folder`, in front of a stack of its own. */
async function started(t: ExecutionContext, folder: string, target: string): Promise<string> {
  const stack = await startStack()
  const functions = await startFunctions({
    target,
    port: 0,
    root: folder,
    env: {PATH: process.env.PATH, ...stack.env, LOG_LEVEL: 'silent', K_SERVICE: target, AUTH: 'none'},
    output: 'pipe',
  })
  t.teardown(async () => {
    functions.process.kill()
    await functions.exited
    await stack.close()
    rmSync(folder, {recursive: true})
  })
  return functions.url
}

for (const [target, path] of [
  ['ping', '/?message=hi'],
  ['health', '/'],
  ['gateway', '/api/ping?message=hi'],
  ['app', '/ping?message=hi'],
  ['upload', '/?creatorId=me&name=x'],
] as const) {
  test(`${target} runs from what is deployed, alone`, async (t) => {
    const url = await started(t, deployed(), target)
    const init = target === 'upload' ? {method: 'POST', body: 'data', headers: {'content-type': 'text/plain'}} : {}
    const response = await fetch(url + path, init)
    t.is(response.status, 200, await response.text())
  })
}

test('where there is a build, that is what is served', async (t) => {
  const folder = deployed()
  mkdirSync(join(folder, 'dist'))
  const framework = `import {http} from '@google-cloud/functions-framework'`
  writeFileSync(
    join(folder, 'dist/deployed.js'),
    `${framework}\nhttp('built', (req, res) => res.send('from the build'))\n`,
  )
  const url = await started(t, folder, 'built')
  t.is(await (await fetch(url)).text(), 'from the build')
})

test("the guides' function of one's own runs when it is deployed", async (t) => {
  const folder = deployed()
  for (const step of stepsIn('docs/own-function.md')) {
    if (step.kind === 'command') continue
    const file = join(folder, step.path)
    if (step.kind === 'file') writeFileSync(file, step.text)
    else
      writeFileSync(
        file,
        readFileSync(file, 'utf8').replace(step.before, () => step.after),
      )
  }
  const url = await started(t, folder, 'greet')
  const response = await fetch(`${url}/?name=Ada`)
  t.deepEqual(await response.json(), {greeting: 'Hello Ada'})
})

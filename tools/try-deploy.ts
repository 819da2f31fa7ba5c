import {type ChildProcess, execFileSync, spawn} from 'node:child_process'
import {once} from 'node:events'
import {lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {parseArgs} from 'node:util'
import {coldStart, firstRequests} from '../bench/lib/cold-process.ts'
import {freePort, listening, startFunctions} from '../local/functions.ts'
import {putSamples} from '../local/samples.ts'
import {startStack} from '../local/stack.ts'
import {requestOf, requestsIn} from '../test/helpers/commands.ts'
import {root, send} from './deployment.ts'

const help = `npm run try-deploy [-- FUNCTION…]: deploys the functions to a folder on this machine, as gcloud does it with the
buildpack for Node, and asks each of them:

  .gcloudignore, npm ci, npm run gcp-build, npm prune, node --check, functions-framework with FUNCTION_TARGET

gcloud functions deploy and gcloud run deploy --function both do that. With app it also sends README's requests, and starts npm start, as
gcloud run deploy does without --function.

--keep  leaves the folder where it is`

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {help: {type: 'boolean'}, keep: {type: 'boolean'}},
})
if (values.help) {
  console.log(help)
  process.exit(0)
}

const all = Object.keys(firstRequests) as (keyof typeof firstRequests)[]
const targets = positionals.length > 0 ? all.filter((name) => positionals.includes(name)) : all
if (targets.length === 0) {
  console.error(`try-deploy: expected some of ${all.join(', ')}`)
  process.exit(2)
}

// The platform has one Node, which runs npm too. Nothing of this project is on the PATH.
const PATH = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`
const npmCli = process.env.npm_execpath
const [npmFile, npmArgs] = npmCli ? [process.execPath, [npmCli]] : ['npm', []]
const folder = mkdtempSync(join(tmpdir(), 'try-deploy-'))
let failures = 0
try {
  send(folder, root)
  console.log(`sent     ${readdirSync(folder).sort().join(', ')}`)
  npm('development', 'ci', '--quiet', '--no-fund', '--no-audit')
  npm('development', 'run', 'gcp-build')
  npm('production', 'prune', '--omit=dev', '--quiet', '--no-fund', '--no-audit')
  const {main} = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {main: string}
  execFileSync(process.execPath, ['--check', join(folder, main)], {stdio: 'inherit'})
  const packages = readdirSync(join(folder, 'node_modules'), {recursive: true, encoding: 'utf8'}).filter((path) =>
    /^(.*node_modules\/)?(@[^/]+\/)?[^/@.]+\/package\.json$/.test(path),
  )
  console.log(`size     ${mb(folder)} MB, of it dist/ ${mb(join(folder, 'dist'))} MB; ${packages.length} packages`)
  await ask()
} finally {
  if (values.keep) console.log(folder)
  else rmSync(folder, {recursive: true})
}
process.exit(failures > 0 ? 1 : 0)

/** Starts npm by the Node that runs this. */
function npmProcess(env: Record<string, string>, ...args: readonly string[]): ChildProcess {
  const whole = {PATH, HOME: process.env.HOME, NODE_ENV: 'production', ...env}
  return spawn(npmFile, [...npmArgs, ...args], {cwd: folder, env: whole, stdio: ['ignore', 'ignore', 'inherit']})
}

/** Runs npm by the Node that runs this. */
function npm(NODE_ENV: string, ...args: readonly string[]): void {
  console.log(`npm      ${args.join(' ')}`)
  const env = {...registry(), PATH, HOME: process.env.HOME, NODE_ENV}
  execFileSync(npmFile, [...npmArgs, ...args], {cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit']})
}

/** npm's registry settings for this project. */
function registry(): Record<string, string | undefined> {
  const {npm_config_registry, npm_config_userconfig} = process.env
  return {...(npm_config_registry && {npm_config_registry}), ...(npm_config_userconfig && {npm_config_userconfig})}
}

/** Starts each function as it is deployed, and sends README's requests to the one that contains all functions. */
async function ask(): Promise<void> {
  const stack = await startStack()
  const env = {...(stack.env as Record<string, string>), AUTH: 'none'}
  try {
    await putSamples(stack.storage!)
    for (const target of targets) {
      const start = {project: folder, target, ...firstRequests[target]}
      try {
        const {ms, cpu, rss} = await coldStart(start, {...env, K_SERVICE: target})
        const cost = cpu && rss ? `, ${Math.round(cpu)} ms of CPU, ${Math.round(rss)} MiB` : ''
        console.log(`${target.padEnd(8)} 200 after ${Math.round(ms)} ms${cost}`)
      } catch (error) {
        fail(target, error instanceof Error ? error.message : String(error))
      }
    }
    if (targets.includes('app')) {
      await askReadme(env)
      await askWithoutFunction(env)
    }
  } finally {
    await stack.close()
  }
}

async function askReadme(env: Record<string, string>): Promise<void> {
  const functions = await startFunctions({
    target: 'app',
    port: 0,
    root: folder,
    // As `npm start` has it: README's requests are made to that.
    env: {...env, PATH, LOG_LEVEL: 'silent', K_SERVICE: 'app', UPLOAD_CONTEXT: 'creatorId=storage; name={object}'},
    output: 'inherit',
  })
  const requests = requestsIn('README.md')
  for (const command of requests) {
    const {path, init} = requestOf(command)
    const response = await fetch(functions.url + path, init)
    const text = await response.text()
    if (response.status !== 200) fail('app', `${command}: ${response.status} ${text}`)
  }
  console.log(`README   ${requests.length} requests`)
  functions.process.kill()
  await functions.exited
}

/** What `gcloud run deploy --source=.` without `--function` starts. */
async function askWithoutFunction(env: Record<string, string>): Promise<void> {
  const port = await freePort(0)
  const child = npmProcess({...env, PORT: String(port), LOG_LEVEL: 'silent', K_SERVICE: 'app'}, 'start')
  const exited = once(child, 'exit')
  await Promise.race([listening(port), exited])
  if (child.exitCode !== null) return fail('start', 'npm start ended before it listened')
  const response = await fetch(`http://localhost:${port}${firstRequests.app.path}`)
  if (response.status === 200) console.log('start    200 by npm start, as without --function')
  else fail('start', `npm start: ${response.status} ${await response.text()}`)
  child.kill()
  await exited
}

function fail(what: string, why: string): void {
  failures++
  console.error(`${what.padEnd(8)} FAILED: ${why}`)
}

/** Size of all files below `path`, in MB. */
function mb(path: string): string {
  const sizes = readdirSync(path, {recursive: true, withFileTypes: true})
    .filter((entry) => entry.isFile())
    .map((entry) => lstatSync(join(entry.parentPath, entry.name)).size)
  return (sizes.reduce((sum, size) => sum + size, 0) / 1e6).toFixed(1)
}

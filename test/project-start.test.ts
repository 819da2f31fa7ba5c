import {spawnSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import test from 'ava'
import {compileCache} from './helpers/compile-cache.ts'

const root = mkdtempSync(join(tmpdir(), 'project-start-'))
test.after.always(() => rmSync(root, {recursive: true}))

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), {recursive: true})
  writeFileSync(join(root, path), text)
}

/** A project's entry point, whose only function says that it is made, and ends the process. */
const main = `import {start} from ${JSON.stringify(join(import.meta.dirname, '../src/start.ts'))}
start(import.meta.dirname, process.env, {
  own: () => {
    console.log('the source')
    process.exit(0)
  },
})`
const build = "console.log('the build')"

/** What the program at `path` prints. */
function started(path: string, env: Readonly<Record<string, string>>): string {
  const {stdout, stderr} = spawnSync(process.execPath, [join(root, path)], {
    env: {...compileCache, BACKEND_URL: 'http://localhost:1', FUNCTION_TARGET: 'own', AUTH: 'none', ...env},
    encoding: 'utf8',
  })
  return stdout.trim() || stderr
}

test("a project's build runs on Cloud Run, and its source elsewhere", (t) => {
  write('built/package.json', '{}')
  write('built/dist/deployed.js', build)
  write('built/src/functions/main.ts', main)
  t.is(started('built/src/functions/main.ts', {K_SERVICE: 'own'}), 'the build')
  t.is(started('built/src/functions/main.ts', {}), 'the source')
})

test('without a build the source runs, also on Cloud Run, and never the build of a project around it', (t) => {
  write('around/package.json', '{}')
  write('around/dist/deployed.js', build)
  write('around/inner/package.json', '{}')
  write('around/inner/src/main.ts', main)
  t.is(started('around/inner/src/main.ts', {K_SERVICE: 'own'}), 'the source')
})

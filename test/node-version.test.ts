import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import test from 'ava'
import {parse} from 'shell-quote'
import {frameworkMain} from '../local/functions.ts'

const root = join(import.meta.dirname, '..')
const {scripts, engines} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
  engines: {node: string}
}

/** Runs node with `args`, pretending to be this `version`. */
async function run(version: string, args: readonly string[], env: Record<string, string> = {}) {
  const versions = JSON.stringify({...process.versions, node: version})
  const pretend = `data:text/javascript,Object.defineProperty(process,'versions',{value:${encodeURIComponent(versions)}})`
  const child = spawn(process.execPath, ['--import', pretend, ...args], {
    cwd: root,
    env: {PATH: process.env.PATH, NODE_ENV: 'production', PORT: '0', ...env},
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [[code], out, err] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  return {code, out, err}
}

/** The last command of a script; the commands before it check whether the rest is installed. */
const scriptOf = (name: string) => {
  const words = parse(scripts[name] ?? '')
  return words.slice(words.lastIndexOf('node') + 1)
}

for (const version of ['20.20.2', '22.22.0', '23.11.1']) {
  for (const [name, args] of [
    ['the functions-framework', [frameworkMain(), '--target=ping']],
    ['npm start', scriptOf('start') as string[]],
    ['npm run backend', scriptOf('backend') as string[]],
  ] as const) {
    test(`${name} under Node ${version} ends with one line that says so`, async (t) => {
      t.deepEqual(await run(version, args, {BACKEND_URL: 'http://localhost:1'}), {
        code: 1,
        out: '',
        err: `Node ${version} is too old: expected Node 24 or later\n`,
      })
    })
  }
}

test('the oldest Node that starts is the one in package.json', async (t) => {
  t.is(engines.node, '>=24')
  t.is((await run('24.0.0', [join(root, 'src/node-version.js')])).code, 0)
})

import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {startApp} from '../helpers/app.ts'

// Has a public generator make a client from /openapi.json, compiles it, and calls each operation of the local stack's services
// with it.

const app = await startApp({target: 'gateway'})
const folder = mkdtempSync(join(tmpdir(), 'openapi-client-'))
try {
  cpSync(join(import.meta.dirname, 'openapi-client'), folder, {recursive: true})
  const response = await fetch(app.url('/openapi.json'), {headers: {connection: 'close'}})
  writeFileSync(join(folder, 'openapi.json'), await response.text())
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'])
  await run('node_modules/.bin/openapi-typescript', ['openapi.json', '--output', 'api.ts'])
  await run('node_modules/.bin/tsc', ['--project', '.'])
  await run(process.execPath, ['calls.ts', app.url('')])
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  rmSync(folder, {recursive: true})
  await app.close()
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, {cwd: folder, stdio: ['ignore', 'inherit', 'inherit']})
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`)
}

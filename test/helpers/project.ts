import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {cpSync, mkdirSync, readdirSync, rmSync, symlinkSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import type {ExecutionContext} from 'ava'

const root = join(import.meta.dirname, '../..')

/** A copy of this project without its samples, as if a user had deleted them. */
export interface Project {
  readonly folder: string
  /**
   * Runs a command in it, with `env` in addition to this environment. Nothing waits meanwhile that other tests of the file need.
   *
   * @throws with the command's output if it fails
   */
  run(words: readonly string[], env?: Readonly<Record<string, string>>): Promise<void>
}

/** Makes such a copy. It is removed at the end of the test. */
export function projectWithoutSamples(t: Pick<ExecutionContext, 'teardown'>): Project {
  const folder = newFolder()
  t.teardown(() => rmSync(folder, {recursive: true}))
  const left = new Set(['node_modules', '.git', 'samples', 'dist'])
  for (const name of readdirSync(root).filter((name) => !left.has(name))) {
    cpSync(join(root, name), join(folder, name), {recursive: true})
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const path = `${join(root, 'node_modules/.bin')}:${process.env.PATH}`
  const env = {...process.env, PATH: path, NO_COLOR: '1', FORCE_COLOR: undefined}
  return {
    folder,
    async run([command = '', ...args], more = {}) {
      const child = spawn(command, args, {cwd: folder, env: {...env, ...more}, stdio: ['ignore', 'pipe', 'pipe']})
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
      if (code !== 0) throw new Error(`${[command, ...args].join(' ')} ended with ${code}:\n${out}${err}`)
    },
  }
}

/** A folder of the first number that is free: mostly one of a few paths, where Node's compile cache knows the files. */
function newFolder(): string {
  for (let number = 1; ; number++) {
    const folder = join(tmpdir(), `grpc-functions-project-${number}`)
    try {
      mkdirSync(folder)
      return folder
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

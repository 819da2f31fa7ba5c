import {execFileSync} from 'node:child_process'
import {cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {ExecutionContext} from 'ava'

const root = join(import.meta.dirname, '../..')

/** A copy of this project without its samples, as somebody has it who has deleted them. */
export interface Project {
  readonly folder: string
  /** Runs a command in it. @throws with what it printed when it fails */
  run(command: string, ...args: string[]): void
}

/** Makes such a copy, which is gone at the end of the test. */
export function projectWithoutSamples(t: Pick<ExecutionContext, 'teardown'>): Project {
  const folder = mkdtempSync(join(tmpdir(), 'project-'))
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
    run(command, ...args) {
      try {
        execFileSync(command, args, {cwd: folder, env, encoding: 'utf8', stdio: 'pipe'})
      } catch (error) {
        const {stdout, stderr} = error as {stdout?: string; stderr?: string}
        throw new Error(`${[command, ...args].join(' ')} failed:\n${stdout}${stderr}`)
      }
    },
  }
}

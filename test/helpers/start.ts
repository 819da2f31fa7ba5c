import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {delimiter, join} from 'node:path'
import {createInterface} from 'node:readline'
import type {ExecutionContext} from 'ava'

const root = join(import.meta.dirname, '..', '..')

/** A running command of package.json, as at a terminal. */
export interface Started {
  readonly process: ChildProcess
  /** All lines so far, of stdout and stderr. */
  readonly lines: readonly string[]
  /** Waits for the first line that matches, from line number `from` on, which is 0 by default. */
  line(pattern: RegExp, from?: number): Promise<string>
  readonly exited: Promise<number | null>
}

type Run = (
  t: ExecutionContext,
  script: string,
  env?: Readonly<Record<string, string>>,
  folder?: string,
  args?: readonly string[],
) => Started

/**
 * Runs `npm run <script> -- <args>` in the project `folder`, by default this one, in its own process group, so that a Ctrl-C can
 * be sent to the whole group. All its processes are killed at the end of the test, however it ends.
 */
export const npmRun: Run = (t, script, env = {}, folder = root, args = []) =>
  start(t, ['npm', 'run', '--silent', script, '--', ...args], env, folder)

/** The same, but without npm, which takes as much CPU as what it runs: the shell runs the script, with the PATH that npm gives it. */
export const runScript: Run = (t, script, env = {}, folder = root, args = []) => {
  const {scripts} = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {scripts: Record<string, string>}
  const PATH = [join(folder, 'node_modules/.bin'), process.env.PATH].join(delimiter)
  return start(t, ['sh', '-c', `${scripts[script]} "$@"`, script, ...args], {PATH, ...env}, folder)
}

function start(
  t: ExecutionContext,
  [command = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  folder: string,
): Started {
  const child = spawn(command, args, {
    cwd: folder,
    env: {...process.env, ...env},
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  for (const output of [child.stdout, child.stderr]) {
    createInterface({input: output}).on('line', (line) => {
      lines.push(line)
      for (const look of waiting) look()
    })
  }
  const exited = once(child, 'close').then(([code]) => code as number | null)
  const started: Started = {
    process: child,
    lines,
    exited,
    line: (pattern, from = 0) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.slice(from).find((line) => pattern.test(line))
          if (found === undefined) return
          waiting.delete(look)
          resolve(found)
        }
        waiting.add(look)
        look()
        exited.then((code) => reject(new Error(`Ended with ${code} before ${pattern}:\n${lines.join('\n')}`)))
      }),
  }
  // If a test file takes too long, ava ends it with SIGTERM, and no teardown runs.
  const kill = () => {
    if (anyLeft(started)) process.kill(-child.pid!, 'SIGKILL')
  }
  const onTerm = () => {
    kill()
    process.kill(process.pid, 'SIGTERM')
  }
  process.once('SIGTERM', onTerm).once('exit', kill)
  t.teardown(async () => {
    if (anyLeft(started)) interrupt(started)
    await exited
    kill()
    process.off('SIGTERM', onTerm).off('exit', kill)
  })
  return started
}

/** Sends Ctrl-C: like a terminal, to every process of the group. */
export function interrupt({process: child}: Started): void {
  process.kill(-(child.pid ?? 0), 'SIGINT')
}

/** Whether any process of the group is still running. */
export function anyLeft({process: child}: Started): boolean {
  try {
    return process.kill(-(child.pid ?? 0), 0)
  } catch {
    return false
  }
}

import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import type {ExecutionContext} from 'ava'

const root = join(import.meta.dirname, '..', '..')

/** A command of package.json's, running, as somebody at a terminal has it. */
export interface Started {
  readonly process: ChildProcess
  /** All lines so far, of both outputs. */
  readonly lines: readonly string[]
  /** The first line that matches, when it comes: of those from the number `from` on, all unless given. */
  line(pattern: RegExp, from?: number): Promise<string>
  readonly exited: Promise<number | null>
}

/**
 * Runs `npm run <script> -- <args>` in the project `folder`, this one unless given, in a process group of its own, so that a Ctrl-C for it can be sent to all of the group. At the end of
 * the test none of it is left, however the test ends.
 */
export function npmRun(
  t: ExecutionContext,
  script: string,
  env: Record<string, string> = {},
  folder = root,
  args: readonly string[] = [],
): Started {
  const child = spawn('npm', ['run', '--silent', script, '--', ...args], {
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
  // Ava ends a file that takes too long by SIGTERM, and no teardown runs then.
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

/** Ctrl-C: the terminal sends it to every process of the group. */
export function interrupt({process: child}: Started): void {
  process.kill(-(child.pid ?? 0), 'SIGINT')
}

/** Whether any process of the group is left. */
export function anyLeft({process: child}: Started): boolean {
  try {
    return process.kill(-(child.pid ?? 0), 0)
  } catch {
    return false
  }
}

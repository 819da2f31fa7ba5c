import type {ChildProcess} from 'node:child_process'
import {readFileSync} from 'node:fs'
import {setImmediate as turn} from 'node:timers/promises'

/**
 * Freezes a process, as Cloud Run freezes an instance between two requests by taking its CPU: nothing in it runs until thaw(), and
 * timers that are due in between fire after it. Resolves when the process has stopped.
 * @throws {Error} when the process has not started
 * @example
 * await freeze(local.functions.process)
 * await thaw(local.functions.process)
 */
export async function freeze({pid}: Pick<ChildProcess, 'pid'>): Promise<void> {
  process.kill(running(pid), 'SIGSTOP')
  while (stateOf(pid!) === 'running') await turn()
}

/**
 * Lets a frozen process run again.
 * @throws {Error} when the process has not started
 * @example
 * await thaw(local.functions.process)
 */
export async function thaw({pid}: Pick<ChildProcess, 'pid'>): Promise<void> {
  process.kill(running(pid), 'SIGCONT')
}

function running(pid: number | undefined): number {
  if (pid === undefined) throw new Error('Cannot freeze a process that has not started')
  return pid
}

/** The state of a process; `unknown` on a system without /proc. */
function stateOf(pid: number): 'running' | 'stopped' | 'unknown' {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name is in brackets and may contain any characters; the state follows it.
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'T' ? 'stopped' : 'running'
  } catch {
    return 'unknown'
  }
}

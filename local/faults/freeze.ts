import type {ChildProcess} from 'node:child_process'
import {readFileSync} from 'node:fs'
import {setImmediate as turn} from 'node:timers/promises'

/**
 * Stops a process, as Cloud Run stops an instance by taking its CPU between two requests: nothing in it runs until thaw(), and
 * its overdue timers all fire late. Resolves when the process has stopped.
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
 * Lets a process run again that freeze() has stopped.
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

/** Where there is no /proc, the signal alone has to do. */
function stateOf(pid: number): 'running' | 'stopped' | 'unknown' {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name stands in brackets and may hold anything; the state follows it.
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'T' ? 'stopped' : 'running'
  } catch {
    return 'unknown'
  }
}

import type {ChildProcess} from 'node:child_process'
import {readFileSync} from 'node:fs'
import {setImmediate as turn} from 'node:timers/promises'

/**
 * Stops a process as Cloud Run takes the CPU away from an instance between two requests: nothing in it runs until
 * thaw(), and its timers fire late, all at once. Resolves when it has stopped.
 */
export async function freeze({pid}: Pick<ChildProcess, 'pid'>): Promise<void> {
  process.kill(running(pid), 'SIGSTOP')
  while (stateOf(pid!) === 'running') await turn()
}

/** Gives the CPU back to a process that freeze() has stopped. */
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

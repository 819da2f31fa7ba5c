import {type ChildProcess, fork} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {frameworkMain, freePort, listening} from '../../local/functions.ts'

const root = join(import.meta.dirname, '..', '..')

/** What a process used since it was last asked. */
export interface Usage {
  /** Resident now and at the most, in bytes. */
  readonly rss: number
  readonly peak: number
  readonly cpuSeconds: number
  /** How much CPU was used between two turns of the event loop at the most, in ms; 0 unless MEASURE_HOLD is set. */
  readonly hold: number
}

/** Asks a process over its channel. */
export async function ask<T>(child: ChildProcess, question: string): Promise<T> {
  const answer = once(child, 'message')
  child.send(question)
  return (await answer)[0] as T
}

/** The local stack in a process of its own; gives the environment of functions that use it. */
export async function stackProcess(options: {window?: number; size: number}) {
  const child = fork(join(import.meta.dirname, 'stack-process.ts'), [JSON.stringify(options)])
  const [env] = (await once(child, 'message')) as [Record<string, string>]
  return {child, env}
}

/** A function in a process of its own, served by the functions-framework from `source`. */
export async function functionProcess(source: string, target: string, env: Record<string, string>) {
  const port = await freePort(0)
  const child = fork(frameworkMain(), [`--target=${target}`, `--source=${join(root, source)}`, `--port=${port}`], {
    cwd: root,
    env: {...process.env, NODE_ENV: 'production', LOG_LEVEL: 'warn', ...env, FUNCTION_TARGET: target},
    execArgv: ['--import', join(import.meta.dirname, 'usage.ts')],
  })
  const url = `http://localhost:${port}`
  await listening(port)
  return {child, url}
}

/** Ends a process that was started here. */
export async function end(child: ChildProcess, how: 'stop' | NodeJS.Signals): Promise<void> {
  const exited = once(child, 'exit')
  if (how === 'stop') child.send('stop')
  else child.kill(how)
  await exited
}

/** The middle one. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

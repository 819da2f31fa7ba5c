import {type ChildProcess, fork, spawn} from 'node:child_process'
import {randomUUID} from 'node:crypto'
import {once} from 'node:events'
import {closeSync, openSync, readdirSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {frameworkMain, freePort, listening} from '../../local/functions.ts'

const root = join(import.meta.dirname, '..', '..')

/** V8's default heap limits on 256 MiB: half of it for the old generation, and little for the young one. */
export const heapOf256MiB = '--max-old-space-size=128 --max-semi-space-size=1'

/** A server in a process of its own. */
export interface Server {
  readonly child: ChildProcess
  readonly url: string
}

/** The resources that a process has used since the last question. */
export interface Usage {
  /** Resident memory now, and its maximum, in bytes. */
  readonly rss: number
  readonly peak: number
  /** The JavaScript heap, in bytes, including garbage unless it was just collected; NaN if the process has no V8. */
  readonly heap: number
  readonly cpuSeconds: number
  /** The longest CPU time between two turns of the event loop, in ms; 0 unless MEASURE_HOLD is set. */
  readonly hold: number
  /** The longest delay of the event loop by Node's `monitorEventLoopDelay`, in ms; 0 unless MEASURE_HOLD is set. */
  readonly delay: number
}

/** Asks a child process over its IPC channel. */
export async function ask<T>(child: ChildProcess, question: string): Promise<T> {
  const answer = once(child, 'message')
  child.send(question)
  return (await answer)[0] as T
}

export interface StackOptions {
  /** The HTTP/2 window of the backend; by default that of the local stack. */
  readonly window?: number
  /** Length of the object in Storage, in bytes. */
  readonly size: number
  /** The lengths of other objects, by their names. */
  readonly others?: Readonly<Record<string, number>>
  /** Whether the backend also answers calls without a token; false by default. */
  readonly open?: boolean
}

/** Starts the local stack in its own process, and returns the environment for functions that use it. */
export async function stackProcess(options: StackOptions) {
  const child = fork(join(import.meta.dirname, 'stack-process.ts'), [JSON.stringify(options)])
  const [env] = (await once(child, 'message')) as [Record<string, string>]
  return {child, env}
}

/**
 * Starts a function in its own process, served by the functions-framework from `source`, a file of the project in `folder`. Its output
 * is written to a file, so that the cost of the log is included.
 */
export function functionProcess(source: string, target: string, env: Record<string, string>, folder = root) {
  const args = (port: number) => [`--target=${target}`, `--source=${join(folder, source)}`, `--port=${port}`]
  return measuredProcess(frameworkMain(), args, {...env, FUNCTION_TARGET: target}, folder)
}

/** Starts another server in its own process: the script `path`, which listens on PORT. */
export function serverProcess(path: string, env: Record<string, string>) {
  return measuredProcess(join(root, path), () => [], env, root)
}

async function measuredProcess(
  script: string,
  args: (port: number) => string[],
  env: Record<string, string>,
  folder: string,
) {
  const port = await freePort(0)
  const output = outputFile()
  const child = fork(script, args(port), {
    cwd: folder,
    env: {...process.env, NODE_ENV: 'production', LOG_LEVEL: 'warn', PORT: String(port), ...env},
    execArgv: ['--import', join(import.meta.dirname, 'usage.ts')],
    stdio: ['ignore', output, 'inherit', 'ipc'],
  })
  closeSync(output)
  const url = `http://localhost:${port}`
  await listening(port)
  return {child, url}
}

/** Starts a server that is not written in JavaScript. It listens on the given port, which it gets as an argument or in PORT. */
export async function nativeProcess(
  program: string,
  args: (port: number) => string[],
  env: Readonly<Record<string, string>>,
): Promise<Server> {
  const port = await freePort(0)
  const output = outputFile()
  const child = spawn(program, args(port), {
    env: {...process.env, ...env, PORT: String(port)},
    stdio: ['ignore', output, 'inherit'],
  })
  closeSync(output)
  process.once('exit', () => child.kill('SIGKILL'))
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${program} ended before it listened`)))
  await Promise.race([listening(port), ended])
  ended.catch(() => {})
  return {child, url: `http://localhost:${port}`}
}

/** The resources that a server's process has used since the last question. */
export async function usageOf({child}: Pick<Server, 'child'>): Promise<Usage> {
  return child.connected ? await ask<Usage>(child, 'usage') : nativeUsage(child.pid!)
}

/** CPU of the native processes at the last question, in seconds. */
const lastCpu = new Map<number, number>()

function nativeUsage(pid: number): Usage {
  const cpu = (cpuOf(pid) ?? Number.NaN) / 1000
  const rss = (rssOf(pid) ?? Number.NaN) * 1024 * 1024
  const cpuSeconds = cpu - (lastCpu.get(pid) ?? 0)
  lastCpu.set(pid, cpu)
  return {rss, peak: rss, heap: Number.NaN, cpuSeconds, hold: 0, delay: 0}
}

/**
 * CPU of all threads of a process, in ms, as counted by the scheduler, which is more precise than clock ticks; undefined if the
 * operating system does not report it.
 */
export function cpuOf(pid: number): number | undefined {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`)
    const ns = tasks.map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]))
    return ns.reduce((sum, one) => sum + one, 0) / 1e6
  } catch {
    return undefined
  }
}

/** Resident memory of a process, in MiB; undefined if the operating system does not report it. */
export function rssOf(pid: number): number | undefined {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Number(kib) / 1024
  } catch {
    return undefined
  }
}

/** An unlinked file, which disappears when its process has ended. */
function outputFile(): number {
  const path = join(tmpdir(), `bench-${randomUUID()}`)
  const file = openSync(path, 'a')
  rmSync(path)
  return file
}

/** Ends a process that was started here. */
export async function end(child: ChildProcess, how: 'stop' | NodeJS.Signals): Promise<void> {
  const exited = once(child, 'exit')
  if (how === 'stop') child.send('stop')
  else child.kill(how)
  await exited
}

/** The median. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

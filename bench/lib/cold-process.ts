import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {get, type IncomingMessage, request} from 'node:http'
import {join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import {freePort} from '../../local/functions.ts'
import {cpuOf, rssOf} from './processes.ts'

/** A function and its first request. */
export interface ColdStart {
  /** The folder of its project. */
  readonly project: string
  /** Its file in the project; by default the project's main file. */
  readonly source?: string
  readonly target: string
  readonly path: string
  /** The body of a POST; a GET is sent without one. */
  readonly body?: {readonly type: string; readonly text: string}
}

/** The first request of each function. */
export const firstRequests = {
  ping: {path: '/?message=hi'},
  gateway: {path: '/api/ping?message=hi'},
  upload: {path: '/?creatorId=me&name=x', body: {type: 'text/plain', text: 'hello'}},
  health: {path: '/'},
  app: {path: '/ping?message=hi'},
} as const satisfies Record<string, Pick<ColdStart, 'path' | 'body'>>

/** The cost of a new process until it has answered its first request. */
export interface ColdFigures {
  /** From the start of the process to the end of the answer, in ms. */
  readonly ms: number
  /** CPU of all its threads until then, in ms; undefined if the operating system does not report it. */
  readonly cpu: number | undefined
  /** Resident memory half a second later, in MiB; undefined if the operating system does not report it. */
  readonly rss: number | undefined
}

/** Interval of attempts to connect, in ms. */
const every = 2
/** How long a process gets to become idle, in ms. */
const settling = 500

/** Starts a process as the platform does, with only `env` as its environment, and sends the request as soon as it listens. */
export async function coldStart(start: ColdStart, env: Record<string, string>): Promise<ColdFigures> {
  const port = await freePort(0)
  const {project, source = '', target} = start
  const framework = join(project, 'node_modules/@google-cloud/functions-framework/build/src/main.js')
  const args = [framework, `--target=${target}`, `--source=${join(project, source)}`, `--port=${port}`]
  const began = performance.now()
  const child = spawn(process.execPath, args, {
    cwd: project,
    env: {PATH: process.env.PATH, NODE_ENV: 'production', LOG_LEVEL: 'info', ...env, FUNCTION_TARGET: target},
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const exited = once(child, 'exit')
  try {
    const response = await firstAnswer(start, port, () => child.exitCode !== null)
    const ms = performance.now() - began
    if (response.statusCode !== 200) throw new Error(`${target} ${start.path} answered ${response.statusCode}`)
    const cpu = cpuOf(child.pid!)
    await pause(settling)
    return {ms, cpu, rss: rssOf(child.pid!)}
  } finally {
    child.kill('SIGKILL')
    await exited
  }
}

async function firstAnswer(start: ColdStart, port: number, hasEnded: () => boolean): Promise<IncomingMessage> {
  for (;;) {
    try {
      return await answer(start, port)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error
      if (hasEnded()) throw new Error(`${start.target} ended before it listened`)
      await pause(every)
    }
  }
}

async function answer({path, body}: ColdStart, port: number): Promise<IncomingMessage> {
  const options = {host: '127.0.0.1', port, path, agent: false}
  const sent = body
    ? request({...options, method: 'POST', headers: {'content-type': body.type}}).end(body.text)
    : get(options)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  await once(response.resume(), 'end')
  return response
}

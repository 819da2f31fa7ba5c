import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {createRequire} from 'node:module'
import {connect, createServer} from 'node:net'
import {dirname, extname, join} from 'node:path'
import type {Readable} from 'node:stream'
import {text} from 'node:stream/consumers'
import {setTimeout as pause} from 'node:timers/promises'
import type {Announcement} from './announce.ts'

/** A Node condition that makes src/main.js load the source rather than a build. */
const sourceCondition = 'grpc-functions-source'

const project = join(import.meta.dirname, '..')

/** A process that serves one function with the real functions-framework, as Cloud Run starts it. */
export interface FunctionsProcess {
  readonly url: string
  readonly process: ChildProcess
  /** Settles when the process has ended, with its exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>
  /** The process's report when it began to listen. */
  readonly said: Announcement
}

export interface FunctionsOptions {
  /** The function's name. */
  readonly target: string
  /** The port to listen on; 0: any free one. */
  readonly port: number
  readonly env: Readonly<Record<string, string | undefined>>
  /** The project's folder; this one unless given. */
  readonly root?: string
  /** Whether the source is served even if the project has a build: false unless given. */
  readonly source?: boolean
  /** Whether it accepts only requests from and for this machine: false unless given, as when deployed. */
  readonly loopback?: boolean
  /** Timeout until it listens, in ms; none unless given. */
  readonly patience?: number
  /** Whether its output goes to that of this process, or is read from the process by a pipe. */
  readonly output: 'inherit' | 'pipe'
}

/**
 * Starts the functions-framework on this project and waits until it listens.
 * @throws when it ends before
 */
export async function startFunctions({
  target,
  port,
  env,
  output,
  root = project,
  loopback = false,
  source = false,
  patience,
}: FunctionsOptions): Promise<FunctionsProcess> {
  if (port > 0) await freePort(port)
  // This file is TypeScript here, and JavaScript in the package.
  const announce = join(
    import.meta.dirname,
    (loopback ? 'announce-loopback' : 'announce-port') + extname(import.meta.filename),
  )
  const child = spawn(
    process.execPath,
    [
      '--import',
      announce,
      ...(source ? [`--conditions=${sourceCondition}`] : []),
      frameworkMain(root),
      `--target=${target}`,
      `--port=${port}`,
    ],
    {
      cwd: root,
      // In production the framework adds none of its own text to the log or to answers.
      env: {NODE_ENV: 'production', ...env, FUNCTION_TARGET: target, PORT: String(port)},
      stdio: ['pipe', output, output, 'pipe'],
    },
  )
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  // The process reports its port: one that we had chosen could be in use by the time that it listens.
  const timer = patience === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), patience)
  const said = await text(child.stdio[3] as Readable)
  clearTimeout(timer)
  if (!said) {
    const code = await exited
    const end = code === null ? 'were ended' : `ended with exit code ${code}`
    throw new Error(`The functions ${end} before they listened`)
  }
  const announcement = JSON.parse(said) as Announcement
  return {url: `http://localhost:${announcement.port}`, process: child, exited, said: announcement}
}

/** `node_modules/.bin/functions-framework` of the project in `root`, which is what Cloud Run starts. */
export function frameworkMain(root = project): string {
  const index = createRequire(join(root, 'package.json')).resolve('@google-cloud/functions-framework')
  return join(dirname(index), 'main.js')
}

/**
 * `port`, or a free one for 0.
 * @throws naming PORT when it is taken
 */
export async function freePort(port: number): Promise<number> {
  const probe = createServer().listen(port)
  await once(probe, 'listening').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EADDRINUSE'
      ? new Error(`PORT="${port}" is in use: set PORT to another one, or to 0 for any`)
      : error
  })
  const {port: bound} = probe.address() as {port: number}
  probe.close()
  await once(probe, 'close')
  return bound
}

/** Resolves as soon as a server listens on `port`. */
export async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, 'localhost')
    try {
      await once(socket, 'connect')
      return
    } catch {
      await pause(20)
    } finally {
      socket.destroy()
    }
  }
}

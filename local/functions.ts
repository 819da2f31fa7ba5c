import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {createRequire} from 'node:module'
import {connect, createServer} from 'node:net'
import {dirname, extname, join} from 'node:path'
import type {Readable} from 'node:stream'
import {text} from 'node:stream/consumers'
import {setTimeout as pause} from 'node:timers/promises'
import type {Announcement} from './announce.ts'

/** A condition of Node's that an entry point looks at: src/main.js loads no build where it is given. */
const sourceCondition = 'grpc-functions-source'

const project = join(import.meta.dirname, '..')

/** A process that serves one function with the real functions-framework, as Cloud Run starts it. */
export interface FunctionsProcess {
  readonly url: string
  readonly process: ChildProcess
  /** Settles when the process has ended, with its exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>
  /** What the process reported when it listened. */
  readonly said: Announcement
}

export interface FunctionsOptions {
  /** The function's name. */
  readonly target: string
  /** The port to listen on; 0: any free one. */
  readonly port: number
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where the project is that they are served from; this one unless given. */
  readonly root?: string
  /** Whether a build that the project has is left aside, and what is served is its source: false unless given. */
  readonly source?: boolean
  /** Whether it takes only requests of this machine, and for this machine: false unless given, as when deployed. */
  readonly loopback?: boolean
  /** How long it has until it listens, in ms; as long as it likes unless given. */
  readonly patience?: number
  /** Whether what it prints goes where ours goes, or is to be read from the process. */
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
      // In production the framework keeps its own words out of the log and out of answers.
      env: {NODE_ENV: 'production', ...env, FUNCTION_TARGET: target, PORT: String(port)},
      stdio: ['pipe', output, output, 'pipe'],
    },
  )
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  // It says which port it got: one that we chose for it could be somebody else's by the time that it listens.
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

/** Resolves as soon as somebody listens on `port`. */
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

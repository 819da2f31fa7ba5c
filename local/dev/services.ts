import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {extname, join} from 'node:path'
import type {Readable} from 'node:stream'
import {text} from 'node:stream/consumers'

/** Options for the process of the gRPC services. */
export interface ServicesOptions {
  /** The path of a module with `startServices(options)`. */
  readonly module: string
  /** The issuer whose ID tokens are needed for calls; everybody may call unless given. */
  readonly issuer?: {readonly name: string; readonly keys: string} | undefined
  /** The audience of those tokens. */
  readonly audience: string
}

/** gRPC services in a process of their own. */
export interface Services {
  readonly port: number
  /** Settles when the process has ended, with its exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>
  close(): Promise<void>
}

/**
 * Starts the services in the working directory `root`, on a free port of this machine.
 * @throws when they end before they listen; the error has been printed
 */
export async function startServices(root: string, options: ServicesOptions): Promise<Services> {
  // This file is TypeScript here, and JavaScript in the package.
  const main = join(import.meta.dirname, `services-main${extname(import.meta.filename)}`)
  const child = spawn(process.execPath, [main, JSON.stringify(options)], {
    cwd: root,
    stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
  })
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  const port = await text(child.stdio[3] as Readable)
  if (!port) {
    await exited
    throw new Error('The services of local/services.ts cannot be started')
  }
  return {
    port: Number(port),
    exited,
    async close() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

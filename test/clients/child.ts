import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import {compileCache} from '../helpers/compile-cache.ts'

/** The result of a child process. */
export interface Ended<T> {
  readonly value: T
  readonly stderr: string
}

/**
 * Runs `work` in a child process whose environment is only `env` and a compile cache, and waits until the process ends by itself, which it does only
 * if nothing is left open.
 *
 * `work` is sent as source text, so it knows only `arg` and what it imports. Imports are relative to this file's folder.
 */
export async function inChild<A, T>(
  {env = {}, arg}: {env?: Record<string, string>; arg: A},
  work: (arg: A) => Promise<T>,
): Promise<Ended<T>> {
  const code = `process.send({value: await (${work})(${JSON.stringify(arg)})})`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    cwd: import.meta.dirname,
    env: {PATH: process.env.PATH, HOME: '/nonexistent', LOG_LEVEL: 'silent', ...compileCache, ...env},
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  })
  let value: T | undefined
  child.on('message', (message: {value: T}) => {
    value = message.value
  })
  const [stderr, [exit]] = await Promise.all([text(child.stderr!), once(child, 'exit')])
  if (exit !== 0) throw new Error(`The process ended with ${exit}: ${stderr}`)
  return {value: value as T, stderr}
}

/** A folder for files that a child process reads; disposing of it removes it. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'clients-'))

  /** Writes a file, and returns its path. */
  write(name: string, content: string, mode = 0o600): string {
    const path = join(this.path, name)
    writeFileSync(path, content, {mode})
    return path
  }

  [Symbol.dispose](): void {
    rmSync(this.path, {recursive: true})
  }
}

import {once} from 'node:events'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import type {Readable} from 'node:stream'
import {startFunctions} from '../../local/functions.ts'
import {compileCache} from '../helpers/compile-cache.ts'

const fixtures = join(import.meta.dirname, 'fixtures')

/** Lines of a process's output, as they arrive. */
export class Lines {
  readonly all: string[] = []
  /** Resolves when there are no more lines. */
  readonly ended: Promise<unknown>
  readonly #waiting = new Set<() => void>()

  constructor(output: Readable) {
    const lines = createInterface({input: output})
    lines.on('line', (line) => {
      this.all.push(line)
      for (const look of this.#waiting) look()
    })
    this.ended = once(lines, 'close')
  }

  /** Waits for the `count`th line that matches. */
  async match(pattern: RegExp, count = 1): Promise<string> {
    const found = Promise.withResolvers<string>()
    const look = () => {
      const line = this.all.filter((line) => pattern.test(line))[count - 1]
      if (line !== undefined) found.resolve(line)
    }
    this.#waiting.add(look)
    look()
    this.ended.then(() => found.reject(new Error(`The output ended before ${pattern}:\n${this.all.join('\n')}`)))
    return await found.promise.finally(() => this.#waiting.delete(look))
  }
}

/** A process that serves functions, and its output. */
export interface Child extends AsyncDisposable {
  readonly url: string
  readonly pid: number | undefined
  readonly out: Lines
  readonly err: Lines
  signal(name: NodeJS.Signals): void
  /** Resolves with the exit code when the process has ended and all its output has been read. */
  readonly exited: Promise<number | null>
}

/** Starts the function `target` of this project on the real functions-framework, and reads its output. */
export async function startChild(target: string, env: Readonly<Record<string, string>> = {}): Promise<Child> {
  const {url, process: child} = await startFunctions({
    target,
    env: {...compileCache, ...env},
    port: 0,
    output: 'pipe',
  })
  const out = new Lines(child.stdout as Readable)
  const err = new Lines(child.stderr as Readable)
  const exited = Promise.all([once(child, 'exit'), out.ended, err.ended]).then(([[code]]) => code as number | null)
  return {
    url,
    pid: child.pid,
    out,
    err,
    exited,
    signal: (name) => child.kill(name),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Starts the functions of fixtures/functions.ts. */
export function startFixture(env: Readonly<Record<string, string>> = {}): Promise<Child> {
  return startChild('fixture', {...env, FUNCTION_SOURCE: join(fixtures, 'functions.ts')})
}

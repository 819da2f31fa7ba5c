import {type ChildProcess, execFileSync, spawn} from 'node:child_process'
import {once} from 'node:events'
import {cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {createInterface} from 'node:readline'
import {type Mutation, withFault} from './mutations.ts'

/** The limit for one run of tests, in ms: a fault may hang them. */
const limit = 10 * 60_000
/** Tests to run. */
export interface Tests {
  /** Their files. */
  readonly patterns: readonly string[]
  /** Without a result for so long, in seconds, ava ends the run: a fault that does that is noticed, as a hang. */
  readonly silence: number
}

/** A copy of the project in which faults are put: the working tree is left alone. */
export class ProjectCopy {
  readonly #path: string
  #child: ChildProcess | undefined

  /** Copies what git knows or would add, uncommitted changes included. */
  constructor(from: string) {
    this.#path = mkdtempSync(join(tmpdir(), 'mutate-'))
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {cwd: from})
    for (const file of new Set(listed.toString().split('\0').filter(Boolean))) {
      mkdirSync(dirname(join(this.#path, file)), {recursive: true})
      cpSync(join(from, file), join(this.#path, file), {force: true, verbatimSymlinks: true})
    }
    symlinkSync(join(from, 'node_modules'), join(this.#path, 'node_modules'))
  }

  /** The first failure of `tests` with the fault, or undefined when all pass. */
  async failureWith(mutation: Mutation, tests: Tests): Promise<string | undefined> {
    const path = join(this.#path, mutation.file)
    const source = readFileSync(path, 'utf8')
    writeFileSync(path, withFault(mutation, source))
    try {
      return await this.failureOf(tests)
    } finally {
      writeFileSync(path, source)
    }
  }

  /** The title of the first of `tests` that fails, or undefined when all pass. */
  async failureOf({patterns, silence}: Tests): Promise<string | undefined> {
    const ava = join(this.#path, 'node_modules/.bin/ava')
    const child = spawn(process.execPath, [ava, '--tap', '--fail-fast', `--timeout=${silence}s`, ...patterns], {
      cwd: this.#path,
      stdio: ['ignore', 'pipe', 'ignore'],
      // A process group, which is ended as a whole.
      detached: true,
    })
    this.#child = child
    let failed: string | undefined
    createInterface(child.stdout).on('line', (line) => {
      failed ??= /^not ok \d+ - (.*?)(?: # .*)?$/.exec(line)?.[1]
    })
    const timer = setTimeout(() => endGroup(child), limit)
    const [code] = await once(child, 'exit')
    clearTimeout(timer)
    endGroup(child)
    this.#child = undefined
    return code === 0 ? undefined : (failed ?? 'the tests do not run to their end')
  }

  /** Ends the tests that run, and removes the copy. */
  remove(): void {
    if (this.#child) endGroup(this.#child)
    rmSync(this.#path, {recursive: true, force: true})
  }
}

/** What a fault kept from ending is ended with the group. */
function endGroup({pid}: ChildProcess): void {
  try {
    process.kill(-pid!, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}

import {type ChildProcess, execFileSync, spawn} from 'node:child_process'
import {once} from 'node:events'
import {cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {createInterface} from 'node:readline'
import {stripVTControlCharacters} from 'node:util'
import {type Mutation, withFault} from './mutations.ts'

/** Timeout of one run of tests, in ms, because a fault may hang them. */
const limit = 10 * 60_000
/** Tests to run. */
export interface Tests {
  /** Their files. */
  readonly patterns: readonly string[]
  /** ava ends a run that has had no result for this long, in seconds. Such a fault counts as noticed: it hangs. */
  readonly silence: number
  /** How many files run at the same time; default: ava's. */
  readonly concurrency?: number
}

/** A copy of the project into which faults are put, so that the working tree is not touched. */
export class ProjectCopy {
  readonly #path: string
  #child: ChildProcess | undefined

  /** Copies the files that git tracks or would add, including uncommitted changes. */
  constructor(from: string) {
    this.#path = mkdtempSync(join(tmpdir(), 'mutate-'))
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {cwd: from})
    for (const file of new Set(listed.toString().split('\0').filter(Boolean))) {
      mkdirSync(dirname(join(this.#path, file)), {recursive: true})
      cpSync(join(from, file), join(this.#path, file), {force: true, verbatimSymlinks: true})
    }
    symlinkSync(join(from, 'node_modules'), join(this.#path, 'node_modules'))
  }

  /** The first test that fails with the fault, or undefined if all pass. */
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

  /** The title of the first test that fails, or of the first that hangs after `hangs: `, or undefined if all pass. */
  async failureOf({patterns, silence, concurrency}: Tests): Promise<string | undefined> {
    const ava = join(this.#path, 'node_modules/.bin/ava')
    const args = ['--fail-fast', `--timeout=${silence}s`]
    if (concurrency !== undefined) args.push(`--concurrency=${concurrency}`)
    const child = spawn(process.execPath, [ava, ...args, ...patterns], {
      cwd: this.#path,
      stdio: ['ignore', 'pipe', 'ignore'],
      // The compile cache of all faults, removed with the copy. Node compares each entry with the file's content, so faults are not confused.
      env: {...process.env, NODE_COMPILE_CACHE: join(this.#path, '.compile-cache')},
      // A process group, so that it can be ended as a whole.
      detached: true,
    })
    this.#child = child
    let failure: string | undefined
    // ava's TAP reporter breaks when tests time out, so this reads the one for people.
    const lines = createInterface(child.stdout).on('line', (line) => {
      failure ??= failureIn(stripVTControlCharacters(line))
      // The other tests do not matter.
      if (failure !== undefined) endGroup(child)
    })
    const read = once(lines, 'close')
    const timer = setTimeout(() => endGroup(child), limit)
    const [code] = await once(child, 'exit')
    clearTimeout(timer)
    endGroup(child)
    await read
    this.#child = undefined
    return code === 0 ? undefined : (failure ?? 'the tests do not run to their end')
  }

  /** Ends the running tests, and removes the copy. */
  remove(): void {
    if (this.#child) endGroup(this.#child)
    rmSync(this.#path, {recursive: true, force: true})
  }
}

/** The title in a line of ava's about a test that failed, or was pending at a timeout; or what else went wrong. */
function failureIn(line: string): string | undefined {
  const hanging = /^ *(?:◌|\( \)) (.*)/.exec(line)?.[1]
  if (hanging !== undefined) return `hangs: ${hanging}`
  const [, failed, broken] =
    /\[fail\]: (.*)|^ *(Uncaught exception in .*|Unhandled rejection in .*|Failed to exit .*|[✘×] .* exited .*)/.exec(
      line,
    ) ?? []
  return failed ?? broken
}

/** Ends all processes of the group, also those that a fault keeps alive. */
function endGroup({pid}: ChildProcess): void {
  try {
    process.kill(-pid!, 'SIGKILL')
  } catch {
    // All of them have ended already.
  }
}

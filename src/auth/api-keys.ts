import {createHash, timingSafeEqual} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {readFile, stat} from 'node:fs/promises'
import {frozen, type KeyCaller} from '../core/caller.ts'
import {ConfigError} from '../core/settings.ts'
import {unauthenticated} from './refusals.ts'

/** A line of the file. */
interface Key {
  readonly digest: Buffer
  readonly caller: KeyCaller
}

/** Maximum age of the cached file, in ms. It is then read again even if it looks unchanged, as some mounts do not update the time. */
const maxAge = 60_000

/**
 * The keys in a file: one a line, as `<SHA-256 in hex> <name> <methods with commas, or *>`; `#` begins a comment. It is
 * read again when it has changed, in a request.
 */
export class ApiKeys {
  readonly #path: string
  #keys: readonly Key[]
  #version = ''
  #readAt = Date.now()
  #problems: readonly string[] = []
  #reload: Promise<void> | undefined

  /** @throws {ConfigError} for a file that cannot be read, with a line for each of its lines that is wrong */
  constructor(path: string) {
    this.#path = path
    const {keys, problems} = parsed(textOf(path), path)
    if (problems.length > 0) throw new ConfigError(problems.join('\n'))
    this.#keys = keys
  }

  /**
   * The caller whose key `given` is.
   * @param report is called for each malformed line of a changed file, and if the file cannot be read. The other lines remain valid
   * @throws {Fault} 401
   */
  async callerOf(given: string, report: (problem: string) => void): Promise<KeyCaller> {
    this.#reload ??= this.#update(report).finally(() => {
      this.#reload = undefined
    })
    await this.#reload
    const digest = createHash('sha256').update(given).digest()
    let found: KeyCaller | undefined
    // Compares with all keys, so that the time does not depend on which one matches.
    for (const key of this.#keys) if (timingSafeEqual(key.digest, digest)) found ??= key.caller
    if (!found) throw unauthenticated('the key is not in AUTH_API_KEYS')
    return found
  }

  async #update(report: (problem: string) => void): Promise<void> {
    try {
      const {mtimeNs, ctimeNs, ino, size} = await stat(this.#path, {bigint: true})
      const version = [mtimeNs, ctimeNs, ino, size].join()
      if (version === this.#version && Date.now() - this.#readAt < maxAge) return
      const {keys, problems} = parsed(await readFile(this.#path, 'utf8'), this.#path)
      this.#keys = keys
      this.#version = version
      this.#readAt = Date.now()
      this.#say(problems, report)
    } catch (error) {
      this.#say([`AUTH_API_KEYS="${this.#path}" cannot be read any more: ${(error as Error).message}`], report)
    }
  }

  /** Reports problems once, until they change. */
  #say(problems: readonly string[], report: (problem: string) => void): void {
    for (const problem of problems) if (!this.#problems.includes(problem)) report(problem)
    this.#problems = problems
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError(`AUTH_API_KEYS="${path}": expected a file that can be read: ${(error as Error).message}`)
  }
}

function parsed(text: string, path: string): {readonly keys: readonly Key[]; readonly problems: readonly string[]} {
  const keys: Key[] = []
  const problems: string[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const words = line.replace(/(?:^|\s)#.*/, '').trim()
    if (words === '') continue
    const [digest = '', name = '', list = '', ...more] = words.split(/\s+/)
    const methods = list.split(',').filter(Boolean)
    const isRight = /^[0-9a-f]{64}$/i.test(digest) && name && methods.length > 0 && more.length === 0
    if (isRight) keys.push({digest: Buffer.from(digest, 'hex'), caller: frozen({kind: 'key', name, methods})})
    // The message does not quote the line, which may contain a key by mistake.
    else
      problems.push(
        `AUTH_API_KEYS="${path}", line ${index + 1}: expected a SHA-256 digest in hex, a name, and methods with commas or "*"`,
      )
  }
  return {keys, problems}
}

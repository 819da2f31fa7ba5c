import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import type {Readable} from 'node:stream'
import {freeze, thaw} from '../../local/faults/freeze.ts'
import {type FunctionsProcess, startFunctions} from '../../local/functions.ts'
import type {Figures} from './figures.ts'

/** A line of the log, with the fields that are checked. */
export interface LogRecord {
  readonly severity: string
  readonly message: string
  readonly requestId?: string
  readonly httpRequest?: {readonly status: number}
  readonly hint?: string
}

/** The functions in a separate process, on the real functions-framework, and the contents of their log. */
export class Instance {
  readonly url: string
  /** The log records of each request, by id. */
  readonly answered = new Map<string, LogRecord[]>()
  /** Log lines that should not occur. */
  readonly suspicious: string[] = []
  /** How often each message was logged, without names and numbers. */
  readonly said = new Map<string, number>()
  readonly exited: Promise<number | null>
  readonly #process: FunctionsProcess['process']
  #tell: (figures: Figures) => void = () => {}
  #frozen = false

  constructor({url, process: child, exited}: FunctionsProcess) {
    this.url = url
    this.#process = child
    const outputs = [child.stdout, child.stderr].map((output) => createInterface({input: output as Readable}))
    outputs[0]!.on('line', (line) => this.#read(line))
    outputs[1]!.on('line', (line) => this.suspicious.push(`on standard error: ${line}`))
    const read = outputs.map((lines) => once(lines, 'close'))
    this.exited = Promise.all([exited, ...read]).then(([code]) => code)
  }

  /** Whether the process is frozen, as between two requests. */
  get isFrozen(): boolean {
    return this.#frozen
  }

  /** Resident memory, in bytes; 0 if the operating system does not report it. */
  get rss(): number {
    try {
      const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.#process.pid}/status`, 'utf8')) ?? []
      return Number(kib ?? 0) * 1024
    } catch {
      return 0
    }
  }

  /** The process's figures after a garbage collection. */
  figures(): Promise<Figures> {
    const figures = new Promise<Figures>((resolve) => {
      this.#tell = resolve
    })
    this.#process.kill('SIGUSR2')
    return figures
  }

  async freeze(): Promise<void> {
    this.#frozen = true
    await freeze(this.#process)
  }

  async thaw(): Promise<void> {
    await thaw(this.#process)
    this.#frozen = false
  }

  terminate(): void {
    this.#process.kill('SIGTERM')
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  #read(line: string): void {
    let record: LogRecord & {readonly figures?: Figures}
    try {
      record = JSON.parse(line)
    } catch {
      this.suspicious.push(`no JSON: ${line}`)
      return
    }
    if (record.figures) {
      this.#tell(record.figures)
      return
    }
    const {requestId, httpRequest, message, severity} = record
    const kind = `${severity} ${message.replaceAll(/[\w-]*-r\d+\S*|\d+(\.\d+)?|\/\S*/g, '#')}`
    this.said.set(kind, (this.said.get(kind) ?? 0) + 1)
    if (requestId && httpRequest) this.answered.set(requestId, [...(this.answered.get(requestId) ?? []), record])
    const isBad = /Unhandled|Uncaught|did not end|after its request|Stopping failed/.test(message)
    if (isBad || severity === 'CRITICAL' || httpRequest?.status === 500) this.suspicious.push(line)
  }
}

/** Starts the function `app` with `env`. */
export async function startInstance(env: Readonly<Record<string, string>>): Promise<Instance> {
  return new Instance(
    await startFunctions({
      target: 'app',
      port: 0,
      output: 'pipe',
      env: {
        ...env,
        NODE_OPTIONS: [
          '--disable-warning=ExperimentalWarning',
          `--import ${join(import.meta.dirname, 'figures.ts')}`,
          // The heap that V8 chooses in an instance of 256 MiB.
          '--max-old-space-size=128 --max-semi-space-size=1',
        ].join(' '),
      },
    }),
  )
}

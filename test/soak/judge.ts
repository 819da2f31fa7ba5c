import type {Answer} from './exchange.ts'
import type {Findings, Span} from './findings.ts'
import type {Task} from './requests.ts'
import type {World} from './world.ts'

/** Statuses that are allowed for faults of others. */
const excused: ReadonlySet<number> = new Set([429, 502, 503, 504])
/** Statuses that are allowed for requests that are refused without a call of a backend. */
const refusals: ReadonlySet<number> = new Set([400, 404, 413])

/** A request, and its answer. */
interface Asked {
  readonly task: Task
  readonly answer: Answer
  readonly span: Span
}

/** Checks answers as they arrive, and at the end of a phase compares them with what the other ends have seen of each request. */
export class Judge {
  /** How often each status occurred. */
  readonly statuses = new Map<string, number>()
  readonly #asked = new Map<string, Asked>()
  /** Requests of hostile callers without an answer, and the act that sent them. */
  readonly #unanswered = new Map<string, string>()
  readonly #findings: Findings
  readonly #world: World

  constructor(world: World, findings: Findings) {
    this.#world = world
    this.#findings = findings
  }

  get asked(): number {
    return this.#asked.size
  }

  /** @param calm whether nothing is broken, so that every served request must succeed */
  judge(id: string, task: Task, answer: Answer, {began, calm}: {began: number; calm: boolean}): void {
    const span = [began, Date.now()] as const
    this.#asked.set(id, {task, answer, span})
    const outcome = answer.whole ? String(answer.status) : answer.status ? `${answer.status} cut` : 'no answer'
    this.statuses.set(outcome, (this.statuses.get(outcome) ?? 0) + 1)
    const wrong = wrongWith(id, task, answer, calm)
    if (wrong) this.#findings.add(`${task.kind}: ${wrong}`, `${id}: ${summary(answer)}`, span)
  }

  /** A request of a hostile caller got no answer: the log must either say that its caller hung up, or not have it. */
  unanswered(id: string, act: string): void {
    this.#unanswered.set(id, act)
  }

  /**
   * Compares what callers saw with the log, the backends and the Repo, after everything has ended.
   * @param wasStarved whether the machine was too busy to run anything during a span
   */
  compare(wasStarved: (span: Span) => boolean): void {
    const {instance, sharp, executions, repo} = this.#world
    const sharpOnes = Map.groupBy(sharp.executions, ({requestId}) => requestId)
    const kept = Map.groupBy(repo.repos, ({name}) => name)
    for (const [id, {task, answer, span}] of this.#asked) {
      const add = (what: string, id: string, detail = '') => this.#findings.add(what, `${id}${detail}`, span)
      const {kind, upload, streams} = task
      const records = instance.answered.get(id) ?? []
      const attempts = sharpOnes.get(id) ?? []
      const executed = attempts.length + executions.of(id)
      const of = (what: string) => `${kind}: ${what}`
      if (records.length > 1) add(of('more than one record in the log'), id)
      if (answer.status === 0 && records.length > 0 && records[0]!.httpRequest?.status !== 499) {
        add(of('the log has an answer, and the caller none'), id, `: ${records[0]!.message} (${answer.error})`)
      }
      if (answer.status > 0 && records.length === 0) add(of('no record in the log'), id, ` of ${answer.status}`)
      const logged = records[0]?.httpRequest?.status
      if (answer.status > 0 && logged !== undefined && logged !== answer.status && logged !== 499) {
        add(of('another status in the log'), id, `: ${logged}, not ${answer.status}`)
      }
      if (answer.status > 0 && !answer.whole && !streams) {
        add(of('an answer was cut'), id, `: ${records[0]?.message} (${answer.error})`)
      }
      if (executed > 1 && !task.isRepeatable)
        add(
          of('executed more than once'),
          id,
          `: ${executed} times, ${JSON.stringify({attempts, status: answer.status})}`,
        )
      if (upload) this.#compareUpload(id, task, answer, kept.get(id) ?? [])
    }
    for (const [id, act] of this.#unanswered) {
      const [record] = instance.answered.get(id) ?? []
      const hungUp = record?.httpRequest?.status === 499 || /hung up$/.test(record?.message ?? '')
      if (record && !hungUp) this.#findings.add(`${act}: no answer`, `${id}: ${record.message}`)
    }
    for (const line of instance.suspicious) {
      const [, id = ''] = /"requestId":"([^"]+)"/.exec(line) ?? []
      const {task, span} = this.#asked.get(id) ?? {}
      if (/did not end when/.test(line) && span && wasStarved(span)) continue
      this.#findings.add(kindOf(line), `${task?.kind ?? ''} ${line.slice(0, 2000)}`, span)
    }
  }

  #compareUpload(id: string, {kind, upload}: Task, answer: Answer, kept: readonly Kept[]): void {
    if (kept.length > 1) this.#findings.add(`${kind}: kept more than once`, `${id}: ${kept.length} times`)
    const [one] = kept
    if (one && (one.size !== upload!.size || one.crc32c !== upload!.crc32c)) {
      this.#findings.add(`${kind}: the Repo keeps something else`, `${id}: ${JSON.stringify({one, upload})}`)
    }
    const isDone = answer.status === 200 && answer.whole && !/"error"/.test(answer.text.slice(-5000))
    if (isDone && !one) this.#findings.add(`${kind}: a success of which the Repo knows nothing`, id)
  }
}

interface Kept {
  readonly size: number
  readonly crc32c: string
}

function kindOf(line: string): string {
  try {
    return `the log says: ${JSON.parse(line).message.replaceAll(/\d+/g, '#').slice(0, 100)}`
  } catch {
    return 'a line that is no record'
  }
}

function wrongWith(id: string, task: Task, answer: Answer, calm: boolean): string | undefined {
  const {status, headers, whole, error} = answer
  if (/no answer in/.test(error ?? '')) return 'no answer in time'
  // The log decides whether the request was accepted.
  if (status === 0) return calm ? 'the connection was closed' : undefined
  if (headers['x-request-id'] !== id) return 'another request id'
  if (status === 200) return wrongWithSuccess(task, answer, calm)
  if (!whole) return undefined
  if (!isFailure(answer)) return task.kind === 'health' && status === 503 ? undefined : 'a failure out of shape'
  if (task.kind === 'refused') return refusals.has(status) || excused.has(status) ? undefined : `refused with ${status}`
  if (!excused.has(status)) return `status ${status}`
  if (calm) return `status ${status} while all is well`
  if (status === 429 && task.isExempt) return 'health is refused for too many requests'
  const reason = JSON.parse(answer.text).error.details?.[0]?.reason
  const invites = status === 429 || reason === 'BACKEND_CONNECT_TIMEOUT'
  return invites && !headers['retry-after'] ? `${status} ${reason} without Retry-After` : undefined
}

function wrongWithSuccess(task: Task, answer: Answer, calm: boolean): string | undefined {
  const {whole, text} = answer
  // A stream that fails has the error as its last line, or is cut without one.
  if (!whole) return calm ? 'cut while all is well' : undefined
  try {
    const last = task.streams ? JSON.parse(text.trim().split('\n').at(-1) || '{}') : {}
    if (last.error) return 'a stream that failed, and was not cut'
    return task.check(answer)
  } catch (error) {
    return `an answer that cannot be read: ${(error as Error).message}`
  }
}

function isFailure({text, status, headers}: Answer): boolean {
  if (!/^application\/json/.test(headers['content-type'] ?? '')) return false
  try {
    const {error} = JSON.parse(text)
    return error.code === status && typeof error.message === 'string' && /^[A-Z_]+$/.test(error.status)
  } catch {
    return false
  }
}

function summary({status, text, whole, error}: Answer): string {
  return `${status}${whole ? '' : ' cut'}${error ? ` (${error})` : ''} ${text.slice(-600)}`
}

import {getEventListeners} from 'node:events'
import type {ExecutionContext} from 'ava'
import {Fault} from '../../src/core/fault.ts'
import type {Life} from '../../src/core/life.ts'
import type {Logger} from '../../src/core/log.ts'
import {detailsJson} from '../../src/http/response/failure.ts'

/** What a test can set; everything else is as in a request that has a minute left. */
export interface LifeOptions {
  readonly id?: string
  readonly trace?: Readonly<Record<string, string>>
  /** From now, in ms. */
  readonly timeout?: number
}

/** The request context of a request without an HTTP caller: the test ends it, and sees the work that was started in it. */
export class TestLife implements Life {
  readonly id: string
  readonly trace: Readonly<Record<string, string>>
  readonly deadline: number
  readonly notes: Record<string, unknown> = {}
  readonly warnings: string[] = []
  readonly log = {
    debug() {},
    warn: (_fields: object, message: string) => this.warnings.push(message),
  } as unknown as Logger
  readonly #end = new AbortController()
  readonly #begun = new Set<Promise<unknown>>()

  constructor({id = 'test-1', trace = {}, timeout = 60_000}: LifeOptions = {}) {
    this.id = id
    this.trace = trace
    this.deadline = Date.now() + timeout
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }

  track<T>(work: Promise<T>): Promise<T> {
    this.#begun.add(work)
    const settled = () => this.#begun.delete(work)
    work.then(settled, settled)
    return work
  }

  note(fields: Record<string, unknown>): void {
    Object.assign(this.notes, fields)
  }

  /** The caller hangs up. Returns the reason. */
  hangUp(): Fault {
    return this.end(new Fault('CANCELLED', 'The caller hung up'))
  }

  /** Ends the request with `reason`, and returns it. */
  end(reason: Fault): Fault {
    this.#end.abort(reason)
    return reason
  }

  /** Resolves when all work that was started has ended, and fails if the signal still has a listener. */
  async quiet(t: ExecutionContext): Promise<void> {
    while (this.#begun.size > 0) await Promise.allSettled(this.#begun)
    t.is(getEventListeners(this.signal, 'abort').length, 0, 'listeners are left on the signal')
  }
}

/** What `work` rejects with, which must be a Fault. */
export async function faultOf(t: ExecutionContext, work: Promise<unknown>): Promise<Fault> {
  return (await t.throwsAsync(work, {instanceOf: Fault})) as Fault
}

/** The reason of the ErrorInfo in a Fault's details. */
export function reasonOf(fault: Fault): unknown {
  const info = detailsJson(fault).find((detail) => typeof detail === 'object' && detail !== null && 'reason' in detail)
  return (info as {reason?: string} | undefined)?.reason
}

import type {MessageInitShape} from '@bufbuild/protobuf'
import type {Any} from '@bufbuild/protobuf/wkt'
import {type Metadata, status} from '@grpc/grpc-js'
import type {RepoCreateReplySchema} from '../../src/gen/repo_pb.js'
import type {CallContext} from '../grpc/implement.ts'
import {StatusError} from '../grpc/status-error.ts'

export type RepoReply = MessageInitShape<typeof RepoCreateReplySchema>

/** How a call is treated, if not normally. */
export interface Behaviour {
  /** Messages are read only when the test calls read(). */
  slow?: boolean
  /** The call fails once so many bytes of data have come. */
  failAfter?: {bytes: number; code: status; message?: string; details?: readonly Any[]}
  /** The call is answered, with OK, once so many bytes of data have come; nothing is kept. */
  answerAfter?: {bytes: number}
  /** The size that the reply claims. */
  replySize?: number
  /** Everything is read but not answered: the call ends when its caller, its deadline or the test ends it. */
  silent?: boolean
}

/** One call of CreateRepo, with controls for tests. */
export class RepoCall {
  readonly context: CallContext
  readonly behaviour: Behaviour
  /** Messages of data that have been read. */
  messages = 0
  /** Bytes of data that have been read. */
  bytes = 0
  /** Resolves when the call is cancelled, or at its deadline; never after an answer. */
  readonly cancelled: Promise<void>
  readonly #ended = Promise.withResolvers<void>()
  readonly #over = Promise.withResolvers<void>()
  readonly #wish = Promise.withResolvers<RepoReply>()
  #decided = false
  #allowed: number
  #wake: (() => void) | undefined
  #watchers: {bytes: number; wake: () => void}[] = []

  constructor(context: CallContext, behaviour: Behaviour) {
    const {signal} = context
    this.context = context
    this.behaviour = behaviour
    this.#allowed = behaviour.slow ? 0 : Number.POSITIVE_INFINITY
    this.cancelled = new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    signal.addEventListener('abort', () => {
      this.#wish.reject(signal.reason)
      this.#wake?.()
    })
    this.#foresee()
  }

  get metadata(): Metadata {
    return this.context.metadata
  }

  /** Resolves when the caller has ended the stream and all of it was read, before it is checked for completeness. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** Resolves when the call and its handler have ended: nothing is kept after that. */
  get over(): Promise<void> {
    return this.#over.promise
  }

  /** Lets a slow call read `messages` more. */
  read(messages = 1): void {
    this.#allowed += messages
    this.#wake?.()
  }

  /** Lets a slow call read all that there is. */
  readAll(): void {
    this.read(Number.POSITIVE_INFINITY)
  }

  /** Resolves when at least so many bytes of data have been read. */
  received(bytes: number): Promise<void> {
    if (this.bytes >= bytes) return Promise.resolve()
    return new Promise((wake) => this.#watchers.push({bytes, wake}))
  }

  /** Answers with OK now, whatever is still to come; nothing is kept. */
  answer(reply: RepoReply = {}): void {
    this.#decided = true
    this.#wish.resolve({size: this.behaviour.replySize ?? this.bytes, ...reply})
  }

  /** Fails now, whatever is still to come; nothing is kept. */
  fail(code: status, message = `Failed with ${status[code]}, as the test wished`, details?: readonly Any[]): void {
    this.#decided = true
    this.#wish.reject(new StatusError(code, message, details))
  }

  /** For Repo: the answer that the test wants, if it does; rejects when the call is cancelled. */
  get wish(): Promise<RepoReply> {
    return this.#wish.promise
  }

  /** For Repo: resolves when the next message may be read. */
  async mayRead(): Promise<void> {
    while (this.#allowed <= 0) {
      this.context.signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#allowed--
  }

  /** For Repo: a message of data was read. */
  count(bytes: number): void {
    this.messages++
    this.bytes += bytes
    if (!this.#watchers.length) return
    const due = this.#watchers.filter((watcher) => watcher.bytes <= this.bytes)
    this.#watchers = this.#watchers.filter((watcher) => watcher.bytes > this.bytes)
    for (const {wake} of due) wake()
  }

  /** For Repo: the stream was read to its end. */
  end(): void {
    this.#ended.resolve()
  }

  /** For Repo: resolves when the received data may be stored. */
  async mayKeep(): Promise<void> {
    this.context.signal.throwIfAborted()
    // Never resolves. The call ends by `wish`, which the signal settles too.
    if (this.behaviour.silent || this.#decided) await new Promise(() => {})
  }

  /** For Repo: the handler is done. */
  finish(): void {
    this.#over.resolve()
  }

  #foresee(): void {
    const {failAfter, answerAfter} = this.behaviour
    if (answerAfter) this.received(answerAfter.bytes).then(() => this.answer())
    if (!failAfter) return
    const {bytes, code, message, details} = failAfter
    this.received(bytes).then(() => this.fail(code, message, details))
  }
}

import {status} from '@grpc/grpc-js'
import {type RepoCreateRequest, Repo as RepoService} from '../../src/gen/repo_pb.js'
import {type CallContext, type Implementation, type ImplementOptions, implement} from '../grpc/implement.ts'
import {StatusError} from '../grpc/status-error.ts'
import {Open} from '../open.ts'
import {type Behaviour, RepoCall, type RepoReply} from './repo-call.ts'
import {type Digest, receive} from './repo-upload.ts'

/** The record of an upload, without its bytes. */
export interface KeptRepo extends Digest {
  id: string
  name: string
  creatorId: string
  url: string
  /** As announced in `x-object-generation`. */
  generation: string | undefined
  /** The call's metadata, the last value of each key. */
  metadata: Record<string, string | Buffer>
}

export interface RepoOptions {
  /** Whether to compute the SHA-256 of each upload too. It costs more than receiving it. */
  sha256?: boolean
}

/** The Repo service, with controls for tests. */
export class Repo {
  /** Every upload that was kept, the latest last. */
  readonly repos: KeptRepo[] = []
  sha256: boolean
  readonly #open = new Open<RepoCall>()
  /** The idempotency keys of calls that are under way. */
  readonly #underWay = new Set<string>()
  #takers: {behaviour: Behaviour; take: (call: RepoCall) => void}[] = []
  #count = 0
  #bytes = 0

  constructor({sha256 = false}: RepoOptions = {}) {
    this.sha256 = sha256
  }

  /** Resolves with the next call when it begins. It is handled by `behaviour`. */
  next(behaviour: Behaviour = {}): Promise<RepoCall> {
    return new Promise((take) => this.#takers.push({behaviour, take}))
  }

  /** The open calls. */
  open(): RepoCall[] {
    return [...this.#open]
  }

  /** Bytes of data that have been read, in all calls together, kept or not. */
  get bytesReceived(): number {
    return this.open().reduce((bytes, call) => bytes + call.bytes, this.#bytes)
  }

  implement(options: ImplementOptions): Implementation {
    return implement(RepoService, {createRepo: (requests, context) => this.#create(requests, context)}, options)
  }

  async #create(requests: AsyncIterable<RepoCreateRequest>, context: CallContext): Promise<RepoReply> {
    using _ = this.#onlyOnce(context.metadata.get('idempotency-key')[0]?.toString())
    const taker = this.#takers.shift()
    const call = new RepoCall(context, taker?.behaviour ?? {})
    this.#open.add(call)
    taker?.take(call)
    try {
      return await Promise.race([call.wish, this.#upload(requests, call)])
    } finally {
      this.#open.delete(call)
      this.#bytes += call.bytes
      call.finish()
    }
  }

  async #upload(requests: AsyncIterable<RepoCreateRequest>, call: RepoCall): Promise<RepoReply> {
    const digest = await receive(requests, call, {sha256: this.sha256})
    await call.mayKeep()
    const kept = this.#keep(digest, call)
    const {id, name, url} = kept
    return {repo: {id, name, url}, size: call.behaviour.replySize ?? kept.size}
  }

  /**
   * Keeps an upload with an idempotency key only once: throws ALREADY_EXISTS if it was kept before, without reading its bytes, and
   * ABORTED while another attempt is in progress. Disposing of the result ends the attempt.
   */
  #onlyOnce(key: string | undefined): Disposable {
    if (key === undefined) return {[Symbol.dispose]() {}}
    if (this.repos.some(({metadata}) => metadata['idempotency-key'] === key))
      throw new StatusError(status.ALREADY_EXISTS, `"${key}" is kept already`)
    if (this.#underWay.has(key)) throw new StatusError(status.ABORTED, `Another attempt at "${key}" is under way`)
    this.#underWay.add(key)
    return {[Symbol.dispose]: () => void this.#underWay.delete(key)}
  }

  #keep(digest: Digest, {context}: RepoCall): KeptRepo {
    const id = `repo-${++this.#count}`
    const metadata = context.metadata.getMap()
    const kept = {
      ...digest,
      id,
      url: `https://git.example.com/${digest.creatorId}/${digest.name}`,
      generation: metadata['x-object-generation']?.toString(),
      metadata,
    }
    this.repos.push(kept)
    return kept
  }
}

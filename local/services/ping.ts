import {create} from '@bufbuild/protobuf'
import {type Any, timestampNow} from '@bufbuild/protobuf/wkt'
import type {Metadata, status} from '@grpc/grpc-js'
import {PingService, type Pong, PongSchema, type Request} from '../../src/gen/ping/ping_pb.js'
import {type CallContext, type Implementation, type ImplementOptions, implement} from '../grpc/implement.ts'
import {StatusError} from '../grpc/status-error.ts'

/** The answer that a test wants. */
export type PongWish = Partial<Pick<Pong, 'index' | 'message' | 'receivedOn'>>

/** A call that waits for the test's answer. */
export interface HeldPing {
  readonly method: string
  readonly request: Request
  readonly metadata: Metadata
  readonly context: CallContext
  /** Resolves when the call ends without an answer: by cancellation or at its deadline. */
  readonly cancelled: Promise<void>
  /** Answers as the service would, with the changes in `pong`. */
  answer(pong?: PongWish): void
  fail(code: status, message: string, details?: readonly Any[]): void
}

/** Asks the upstream as SendUpstream does; rejects with a StatusError. */
export type AskUpstream = (request: Request, context: CallContext) => Promise<Pong>

/** The Ping service, with controls for tests. */
export class Ping {
  /** The number of answered pings. */
  count = 0
  readonly #askUpstream: AskUpstream
  #takers: ((call: HeldPing) => void)[] = []

  constructor(askUpstream: AskUpstream) {
    this.#askUpstream = askUpstream
  }

  /** The next call of either method, held until it is answered here. */
  next(): Promise<HeldPing> {
    return new Promise((resolve) => this.#takers.push(resolve))
  }

  implement(options: ImplementOptions): Implementation {
    return implement(
      PingService,
      {
        send: async (request, context) => ({pong: this.#pong(request, await this.#held(request, context))}),
        sendUpstream: async (request, context) => {
          const wish = await this.#held(request, context)
          const pong = await this.#askUpstream(request, context)
          return {pong: Object.assign(pong, wish)}
        },
      },
      options,
    )
  }

  #pong({message}: Request, wish: PongWish | undefined): Pong {
    return create(PongSchema, {index: ++this.count, message, receivedOn: timestampNow(), ...wish})
  }

  /** The answer that the test wants; resolves at once unless the test holds this call. */
  async #held(request: Request, context: CallContext): Promise<PongWish | undefined> {
    const take = this.#takers.shift()
    if (!take) return undefined
    const {promise, resolve, reject} = Promise.withResolvers<PongWish | undefined>()
    const cancelled = new Promise<void>((over) => context.signal.addEventListener('abort', () => over()))
    context.signal.addEventListener('abort', () => reject(context.signal.reason))
    take({
      method: context.method,
      request,
      metadata: context.metadata,
      context,
      cancelled,
      answer: resolve,
      fail: (code, message, details) => reject(new StatusError(code, message, details)),
    })
    return promise
  }
}

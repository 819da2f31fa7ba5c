import {create, type Message} from '@bufbuild/protobuf'
import type {CallContext, Implementation, ImplementOptions} from '../../local/grpc/implement.ts'
import {implement} from '../../local/grpc/implement.ts'
import type {CallOptions, Stream} from '../../src/clients/service-client.ts'
import type {Life} from '../../src/core/life.ts'
import {Kinds, type Numbered} from '../local/kinds.ts'

type Init = Partial<Pick<Numbered, 'value' | 'filler'>>

/** The client of `test.Kinds`, which has a method of each kind. */
export interface KindsClient {
  one(life: Life, request: Init, options?: CallOptions): Promise<Numbered>
  up(life: Life, requests: Stream<Init>, options?: CallOptions): Promise<Numbered>
  down(life: Life, request: Init, options?: CallOptions): AsyncIterable<Numbered>
  both(life: Life, requests: Stream<Init>, options?: CallOptions): AsyncIterable<Numbered>
}

interface Handlers {
  one(request: Numbered, context: CallContext): Init | Promise<Init>
  up(requests: AsyncIterable<Numbered>, context: CallContext): Init | Promise<Init>
  down(request: Numbered, context: CallContext): AsyncIterable<Init>
  both(requests: AsyncIterable<Numbered>, context: CallContext): AsyncIterable<Init>
}

/** A message as it is sent. */
export function numbered(value = 0): Message {
  return create(Kinds.method.one!.input, {value} as Record<string, unknown>)
}

/** A call as the server sees it. */
export interface Seen {
  readonly context: CallContext
  /** Resolves when the call ends before its handler does. */
  readonly cancelled: Promise<void>
}

const usual: Handlers = {
  one: ({value}) => ({value: value + 1}),
  async up(requests) {
    let sum = 0
    for await (const {value} of requests) sum += value
    return {value: sum}
  },
  async *down({value}) {
    for (let left = value; left > 0; left--) yield {value: left}
  },
  async *both(requests) {
    for await (const {value} of requests) yield {value: -value}
  },
}

/** The server's implementation of `test.Kinds`, controlled by the test. */
export class KindsService {
  handlers = usual
  #takers: ((seen: Seen) => void)[] = []

  /** Sets the handlers of later calls. The others keep their default: One adds 1, Up sums up, Down counts down, Both negates. */
  handle(handlers: Partial<Handlers>): void {
    this.handlers = {...usual, ...handlers}
  }

  /** The next call, as soon as it reaches its handler. */
  next(): Promise<Seen> {
    return new Promise((resolve) => this.#takers.push(resolve))
  }

  implement(options: ImplementOptions): Implementation {
    const handled =
      (kind: keyof Handlers) =>
      (input: never, context: CallContext): unknown => {
        const cancelled = new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()))
        this.#takers.shift()?.({context, cancelled})
        return this.handlers[kind](input, context)
      }
    const handlers = {one: handled('one'), up: handled('up'), down: handled('down'), both: handled('both')}
    return implement(Kinds, handlers as never, options)
  }
}

/** For a handler that says nothing: rejects when the call ends, and never resolves. */
export function silence({signal}: CallContext): Promise<never> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

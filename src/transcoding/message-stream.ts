import type {Message} from '@bufbuild/protobuf'
import {JsonSplitter} from './json/splitter.ts'
import type {MessageReader} from './requests.ts'

/** Messages that were completed by the same chunk. Each is decoded when it is asked for. */
export interface MessageBatch {
  readonly messages: Iterable<Message>
  readonly count: number
  /** Size of the data that is buffered until they are decoded, in characters or bytes. */
  readonly size: number
}

/** Splits the bytes of a client stream into messages while they arrive. */
export interface MessageStream {
  /** The messages that are completed by `bytes`, which are at most `maxSlice`; undefined for none. */
  push(bytes: Uint8Array): MessageBatch | undefined
  /** The messages that are completed only by the end of the body. */
  end(): MessageBatch
  readonly maxSlice: number
  /** Buffered bytes of an incomplete message. */
  readonly held: number
}

export interface MessageStreamOptions {
  /** Whether each chunk of the body becomes a google.api.HttpBody. If not, the body is JSON. */
  readonly raw: boolean
  /** Limit for the JSON of one message, in bytes. */
  readonly maxBytes?: number | undefined
}

/** The stream of one request, whose messages `reader` makes. */
export function messageStream(reader: MessageReader, {raw, maxBytes}: MessageStreamOptions): MessageStream {
  return raw ? new RawMessages(reader) : new JsonMessages(reader, maxBytes)
}

class JsonMessages implements MessageStream {
  /** Still thousands of texts, where messages are as small as possible. */
  readonly maxSlice = 16 * 1024
  readonly #reader: MessageReader
  readonly #splitter: JsonSplitter
  #isEmpty = true

  constructor(reader: MessageReader, maxBytes: number | undefined) {
    this.#reader = reader
    this.#splitter = new JsonSplitter({maxBytes})
  }

  get held(): number {
    return this.#splitter.held
  }

  push(bytes: Uint8Array): MessageBatch | undefined {
    const texts = this.#splitter.push(bytes)
    if (texts.length === 0) return undefined
    this.#isEmpty = false
    return this.#batch(texts)
  }

  end(): MessageBatch {
    const texts = this.#splitter.end()
    if (!this.#isEmpty || texts.length > 0) return this.#batch(texts)
    // For an empty body, what path and query bind is still one message. An empty array means no message.
    const saysSomething = this.#reader.bindsSomething && !this.#splitter.isArray
    return saysSomething ? {messages: this.#bare(), count: 1, size: 0} : {messages: [], count: 0, size: 0}
  }

  #batch(texts: readonly string[]): MessageBatch {
    return {messages: this.#decoded(texts), count: texts.length, size: texts.reduce((sum, {length}) => sum + length, 0)}
  }

  *#decoded(texts: readonly string[]): Iterable<Message> {
    for (const text of texts) yield this.#reader.json(text)
  }

  *#bare(): Iterable<Message> {
    yield this.#reader.bare()
  }
}

class RawMessages implements MessageStream {
  readonly maxSlice = Number.POSITIVE_INFINITY
  readonly held = 0
  readonly #reader: MessageReader
  #isEmpty = true

  constructor(reader: MessageReader) {
    this.#reader = reader
  }

  push(bytes: Uint8Array): MessageBatch {
    this.#isEmpty = false
    return {messages: this.#one(bytes), count: 1, size: bytes.length}
  }

  /** An empty body is one empty HttpBody. */
  end(): MessageBatch {
    return this.#isEmpty ? {messages: this.#one(), count: 1, size: 0} : {messages: [], count: 0, size: 0}
  }

  *#one(data?: Uint8Array): Iterable<Message> {
    yield this.#reader.raw(data)
  }
}

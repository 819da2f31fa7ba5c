import {type DescMessage, type Message, toBinary} from '@bufbuild/protobuf'
import type {Requests} from '../clients/calls.ts'
import {turn, within} from '../core/waiting.ts'
import {hasBody} from '../http/body.ts'
import {partsOf} from '../http/multipart.ts'
import type {Scope} from '../http/scope.ts'
import {findField} from '../transcoding/fields/fields.ts'
import {NoBody} from '../transcoding/json/no-body.ts'
import {JsonSplitter} from '../transcoding/json/splitter.ts'
import {bodyForm} from '../transcoding/media.ts'
import {bodyReaderOf, type RequestParts} from '../transcoding/requests.ts'
import type {Binding} from '../transcoding/rules/bindings.ts'
import type {Match} from '../transcoding/rules/router.ts'
import type {Transcoder} from '../transcoding/transcoder.ts'

/** How much of a request is read. */
export interface RequestLimits {
  /** The most bytes of a body that is read whole, and of one message of a client stream. */
  readonly maxBodyBytes: number
  /** The most parts of a multipart body. */
  readonly maxBodyValues: number
}

/** A body of so many bytes can take tens of milliseconds to decode. */
const largeBody = 8 * 1024

/**
 * Reads the messages of requests. Each is made into its bytes as soon as it is decoded: what is built of a body takes many
 * times the body's size, and there is never more of it than one message.
 */
export class RequestReader {
  readonly #transcoder: Transcoder
  readonly #limits: RequestLimits

  constructor(transcoder: Transcoder, limits: RequestLimits) {
    this.#transcoder = transcoder
    this.#limits = limits
  }

  /**
   * The messages of a request: one that is read whole here, or those of a stream, which are read as they arrive.
   * @throws {Fault} 400, 413, 415 or 429 for what cannot be read
   */
  async read(scope: Scope, match: Match<Binding>): Promise<Requests> {
    const {methodKind} = match.binding.method
    if (bodyReaderOf(match.binding) === undefined) return await this.#bodiless(scope, match)
    return methodKind === 'unary' || methodKind === 'server_streaming'
      ? await this.#whole(scope, match)
      : this.#stream(scope, match)
  }

  async #bodiless(scope: Scope, match: Match<Binding>): Promise<Requests> {
    // Path and query first: what they have wrong is not to wait for the end of a body.
    const message = this.#decode(scope, match)
    await refuseBody(scope, match.binding)
    return () => [message]
  }

  async #whole(scope: Scope, match: Match<Binding>): Promise<Requests> {
    // An empty body is the empty message whatever its type, and no multipart.
    const body = hasBody(scope.headers) ? await this.#body(scope, match.binding) : undefined
    if (body && (Array.isArray(body) || body.length > largeBody)) await turn()
    return letGo(scope, this.#decode(scope, match, body))
  }

  #body(scope: Scope, binding: Binding): Promise<RequestParts['body']> {
    const {maxBodyBytes, maxBodyValues} = this.#limits
    const reader = bodyReaderOf(binding)
    return reader === 'message' && bodyForm(scope.contentType, reader) === 'multipart'
      ? partsOf(scope, {maxBytes: maxBodyBytes, maxParts: maxBodyValues})
      : scope.bytes(maxBodyBytes)
  }

  #decode(scope: Scope, match: Match<Binding>, body?: RequestParts['body']): Uint8Array {
    const parts = {query: scope.rawQuery, contentType: scope.contentType, body}
    return bytesOf(match.binding.method.input, this.#transcoder.decodeRequest(match, parts))
  }

  #stream(scope: Scope, match: Match<Binding>): Requests {
    const {binding} = match
    const {input} = binding.method
    const reader = this.#transcoder.readMessages(match, {query: scope.rawQuery, contentType: scope.contentType})
    scope.refuseCompressed()
    const encoder = <T>(read: (value: T) => Message) => {
      return (value: T) => bytesOf(input, read(value))
    }
    if (bodyReaderOf(binding) === 'raw') {
      const empty = () => [new Uint8Array()]
      return () =>
        batchesOf(scope, {values: rawPieces, slice: Number.POSITIVE_INFINITY, encode: encoder(reader.raw), empty})
    }
    if (hasBody(scope.headers)) bodyForm(scope.contentType, 'stream')
    const values = new JsonSplitter({maxBytes: this.#limits.maxBodyBytes})
    // An empty body still says what path and query bind; an empty array says that there is no message.
    const empty = () => (!values.isArray && bindsSomething(scope, binding) ? [undefined] : [])
    const encode = encoder((text: string | undefined) => (text === undefined ? reader.bare() : reader.json(text)))
    return () => batchesOf(scope, {values, slice: jsonSlice, encode, empty})
  }
}

/** @throws {Fault} 400 as soon as a byte of a body says something; 415 when it is compressed */
async function refuseBody(scope: Scope, {rule}: Binding): Promise<void> {
  if (!hasBody(scope.headers)) return
  scope.refuseCompressed()
  const content = new NoBody(rule, scope.contentType)
  for await (const piece of scope.body) content.push(piece)
  content.end()
}

/** Whether path or query, once read, have set a field: a parameter that is none was ignored. */
function bindsSomething({query}: Scope, {method, variables}: Binding): boolean {
  return variables.length > 0 || query.keys().some((name) => !('problem' in findField(method.input, name)))
}

function bytesOf(desc: DescMessage, message: Message): Uint8Array {
  return toBinary(desc, message as never)
}

/** One message, which is kept, and booked as part of the body, until it has been sent. */
function letGo(scope: Scope, message: Uint8Array): Requests {
  let kept: Uint8Array | undefined = message
  return function* () {
    if (kept) yield kept
    kept = undefined
    scope.hold(0)
  }
}

/** Takes the values of a stream out of its bytes. */
interface Values<T> {
  push(bytes: Uint8Array): readonly T[]
  end(): readonly T[]
  /** How many bytes are kept of a value that has not ended. */
  readonly held: number
}

/** How many bytes of JSON are taken apart at a time: of the smallest messages that is thousands of texts. */
const jsonSlice = 16 * 1024

const rawPieces: Values<Uint8Array> = {push: (piece) => [piece], end: () => [], held: 0}

interface StreamReading<T> {
  readonly values: Values<T>
  /** How many bytes of the body are taken apart at a time. */
  readonly slice: number
  readonly encode: (value: T) => Uint8Array
  /** The values of a body that has none. */
  readonly empty: () => readonly T[]
}

/**
 * The messages of a stream: those that came together, each decoded when it is asked for. No more is read before they have been
 * sent on, or their call has ended.
 */
async function* batchesOf<T extends {readonly length: number} | undefined>(
  scope: Scope,
  {values, slice, encode, empty}: StreamReading<T>,
): AsyncGenerator<Iterable<Uint8Array>> {
  let isEmpty = true
  function* batch(found: readonly T[], sent: () => void) {
    try {
      for (const value of found) yield encode(value)
    } finally {
      scope.holdPart(values.held)
      sent()
    }
  }
  for await (const bytes of slices(scope.body, slice)) {
    const found = values.push(bytes)
    const size = found.reduce((sum, value) => sum + (value?.length ?? 0), 0)
    if (size === 0) scope.holdPart(values.held)
    else scope.hold(size + values.held)
    if (found.length === 0) continue
    isEmpty = false
    if (size > largeBody) await turn()
    const {promise, resolve} = Promise.withResolvers<void>()
    yield batch(found, resolve)
    await within(scope.signal, promise)
  }
  const last = values.end()
  yield batch(isEmpty && last.length === 0 ? empty() : last, () => {})
}

async function* slices(body: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    for (let start = 0; start < piece.length; start += size) yield piece.subarray(start, start + size)
  }
}

import type {Kept, Requests} from '../../clients/call.ts'
import {Fault} from '../../core/fault.ts'
import {turn, within} from '../../core/waiting.ts'
import {inflated, mostDeflated} from '../../http/request/inflate.ts'
import type {Scope} from '../../http/scope.ts'
import {Base64Reader} from '../../transcoding/rpc/base64-body.ts'
import {compressedFlag, type Frame, FrameSplitter} from '../../transcoding/rpc/frames.ts'
import type {RpcForm} from '../../transcoding/rpc/media.ts'
import type {RpcMessages} from '../../transcoding/rpc/messages.ts'
import {batchOf, largeBody, onlyRequest, slices} from '../read-requests.ts'

/** Options for reading the messages of one request. */
export interface RpcReading {
  readonly form: RpcForm
  readonly messages: RpcMessages
  /** Whether the body, or envelopes with the compressed flag, are in gzip. */
  readonly isCompressed: boolean
  /** Limit for one message, in bytes. */
  readonly maxBytes: number
  /** Given the one message, as the backend gets it, before it leaves. */
  readonly sending?: ((message: Uint8Array) => void) | undefined
}

/** The message of a body without envelopes. @throws {Fault} 400, 413, 429 */
export async function wholeMessage(scope: Scope, reading: RpcReading): Promise<Requests> {
  const {isCompressed, maxBytes} = reading
  const body = await scope.bytesAsSent(isCompressed ? mostDeflated(maxBytes) : maxBytes)
  return await only(scope, reading, isCompressed ? await inflate(scope, reading, body) : body)
}

/** The message in the query of a GET. @throws {Fault} 400, 413 */
export async function gotMessage(scope: Scope, reading: RpcReading, message: Uint8Array): Promise<Requests> {
  if (reading.isCompressed) return await only(scope, reading, await inflate(scope, reading, message))
  const bytes = reading.messages.read(message)
  return () => [bytes]
}

/**
 * The one message of a body of envelopes.
 * @throws {Fault} 400, 413, 429, and UNIMPLEMENTED for none or several messages, as in gRPC
 */
export async function onlyMessage(scope: Scope, reading: RpcReading): Promise<Requests> {
  let found: Frame | undefined
  const splitter = splitterOf(reading)
  for await (const piece of piecesOf(scope, reading)) {
    for (const frame of splitter.push(piece)) {
      if (found) throw notOne('more than one')
      found = frame
    }
    scope.holdPart(splitter.held + (found?.data.length ?? 0))
  }
  splitter.end()
  if (!found) throw notOne('no')
  return await only(scope, reading, await plain(scope, reading, found))
}

function notOne(count: string): Fault {
  return new Fault('UNIMPLEMENTED', `The request has ${count} message: expected one, as the method takes no stream`, {
    http: 400,
  })
}

async function only(scope: Scope, {messages, sending}: RpcReading, bytes: Uint8Array): Promise<Requests> {
  if (bytes.length > largeBody) await turn()
  const message = messages.read(bytes)
  sending?.(message)
  return onlyRequest(scope, message)
}

/**
 * The messages of a stream, in batches that arrived together. Each message is decoded when it is asked for. The next batch is read when
 * this one has been sent, or its call has ended.
 */
export async function* streamedMessages(
  scope: Scope,
  reading: RpcReading,
): AsyncGenerator<Iterable<Uint8Array> & Kept> {
  const splitter = splitterOf(reading)
  for await (const piece of piecesOf(scope, reading)) {
    const frames = splitter.push(piece)
    let left = sizeOf(frames)
    if (left === 0) scope.holdPart(splitter.held)
    else scope.hold(left + splitter.held)
    for (const run of runsOf(frames)) {
      left -= sizeOf(run)
      const [first] = run
      const isCompressed = first && isDeflated(first)
      const texts = isCompressed ? [await inflate(scope, reading, first.data)] : run.map(({data}) => data)
      if (sizeOf(run) > largeBody || isCompressed) await turn()
      const {promise, resolve} = Promise.withResolvers<void>()
      const onEnd = () => {
        scope.holdPart(left + splitter.held)
        resolve()
      }
      yield batchOf(texts, {size: lengthOf(texts), encode: (text) => reading.messages.read(text), onEnd})
      await within(scope.signal, promise)
    }
  }
  splitter.end()
}

function lengthOf(texts: readonly Uint8Array[]): number {
  return texts.reduce((sum, {length}) => sum + length, 0)
}

/** Splits `frames` into runs, in order: each compressed frame alone, others together. */
function runsOf(frames: readonly Frame[]): Frame[][] {
  const runs: Frame[][] = []
  let open = false
  for (const frame of frames) {
    const alone = isDeflated(frame)
    if (open && !alone) runs.at(-1)!.push(frame)
    else runs.push([frame])
    open = !alone
  }
  return runs
}

function isDeflated({flags, data}: Frame): boolean {
  return (flags & compressedFlag) !== 0 && data.length > 0
}

function sizeOf(frames: readonly Frame[]): number {
  return lengthOf(frames.map(({data}) => data))
}

/** The bytes of the envelopes, in pieces small enough that even the smallest messages in one piece can be buffered. */
async function* piecesOf(scope: Scope, {form}: RpcReading): AsyncGenerator<Uint8Array> {
  scope.refuseCompressed()
  const reader = form.text ? new Base64Reader() : undefined
  for await (const slice of slices(scope.body, maxSlice)) yield reader?.push(slice) ?? slice
  reader?.end()
}

/** Limit for the bytes that are split at once. */
const maxSlice = 16 * 1024

function splitterOf({isCompressed, maxBytes, form}: RpcReading): FrameSplitter {
  return new FrameSplitter((flags, length) => {
    if ((flags & ~compressedFlag) !== 0) {
      throw new Fault('INVALID_ARGUMENT', `Cannot read the request: a message has the unknown flags ${flags}`)
    }
    if (flags !== 0 && !isCompressed) {
      const header = form.protocol === 'connect' ? 'Connect-Content-Encoding' : 'grpc-encoding'
      throw new Fault('INTERNAL', `A message is compressed, and no header ${header} says how`, {http: 400})
    }
    const limit = flags === 0 ? maxBytes : mostDeflated(maxBytes)
    if (length > limit) throw Fault.invalid('body', `A message is longer than ${maxBytes} bytes`, {http: 413})
  })
}

async function plain(scope: Scope, reading: RpcReading, frame: Frame): Promise<Uint8Array> {
  return isDeflated(frame) ? await inflate(scope, reading, frame.data) : frame.data
}

async function inflate(scope: Scope, {maxBytes}: RpcReading, bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.length === 0) return bytes
  return await inflated(bytes, {limit: maxBytes, hold: (length) => scope.hold(bytes.length + length)})
}

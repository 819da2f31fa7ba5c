import {create, type MessageInitShape, toBinary} from '@bufbuild/protobuf'
import {Fault} from '../../core/fault.ts'
import type {Life} from '../../core/life.ts'
import {
  Repo,
  type RepoContextSchema,
  type RepoCreateReply,
  type RepoCreateRequest,
  RepoCreateRequestSchema,
} from '../../gen/repo_pb.js'
import {type ClientRuntime, createClient} from '../service-client.ts'
import {Crc32c} from '../storage/crc32c.ts'
import {gathered} from './chunks.ts'

/** The reply's size is an int32. */
export const mostBytes = 2 ** 31 - 1

/** What is uploaded. */
export interface Content {
  /** The bytes from the first to the last; `signal` aborts when nobody wants them any more. */
  readonly pieces: (signal: AbortSignal) => AsyncIterable<Uint8Array>
  /** How many bytes there are, where that is known. */
  readonly size?: number | undefined
  /** Base64 of their big-endian CRC32C, where that is known: the last bytes are held back until it is known to be right. */
  readonly crc32c?: string | undefined
  /** The generation of the Storage object that they are. */
  readonly generation?: string | undefined
}

/** As whose, and under which name. */
export type Context = MessageInitShape<typeof RepoContextSchema>

/** How far an upload is. */
export interface Progress {
  /** Bytes that were handed on to be sent. */
  sent: number
  /** Whether that is all of them: a backend that answers before is not believed. */
  ended?: boolean
  readonly total: number | undefined
}

/** Bytes of data in a message: more gains nothing, and receivers take 4 MiB at most by default. */
const messageSize = 256 * 1024
/** Room before the data for its field's tag and length. */
const headroom = 6
/** Field 2, length-delimited: `RepoCreateRequest.data`. */
const dataTag = 0x12

/**
 * Streams `content` into Repo.CreateRepo, the context first, as fast as the backend takes it.
 *
 * What is known of the content goes ahead as `x-object-size`, `x-object-crc32c` and `x-object-generation`. Before the
 * last bytes leave, all are checked against it: when they are wrong the call is cancelled, and as the backend may take
 * a cancel for an end, what it got is then short of what was announced.
 * @throws {Fault} DATA_LOSS (502) when content or reply are not what they should be; OUT_OF_RANGE beyond int32
 */
export async function createRepo(
  runtime: ClientRuntime,
  life: Life,
  context: Context,
  content: Content,
  progress: Progress,
): Promise<RepoCreateReply> {
  if ((content.size ?? 0) > mostBytes) throw tooLarge(content.size)
  const reply = await createClient(runtime, Repo).createRepo(
    life,
    (signal) => messages(signal, context, content, progress),
    {
      timeout: Number.POSITIVE_INFINITY,
      metadata: announced(content),
      serialize: (message) => serialized(message as RepoCreateRequest),
    },
  )
  const whole = content.size ?? progress.sent
  if (reply.size !== whole || !progress.ended) {
    throw lost(`The backend kept ${reply.size} bytes of ${progress.ended ? whole : `more than ${progress.sent}`}`)
  }
  return reply
}

async function* messages(signal: AbortSignal, context: Context, content: Content, progress: Progress) {
  yield create(RepoCreateRequestSchema, {body: {case: 'context', value: context}})
  const checksum = new Crc32c()
  let taken = 0
  async function* checked() {
    for await (const piece of content.pieces(signal)) {
      taken += piece.length
      if (taken > mostBytes) throw tooLarge(content.size)
      if (content.crc32c) checksum.update(piece)
      yield piece
    }
    if (content.size !== undefined && taken !== content.size) {
      throw lost(`${taken} bytes came of the ${content.size} that were announced`)
    }
    if (content.crc32c && checksum.toString() !== content.crc32c) {
      throw lost(`The bytes that came have the checksum ${checksum}, not ${content.crc32c}`)
    }
  }
  for await (const value of gathered(checked(), {size: messageSize, headroom})) {
    yield create(RepoCreateRequestSchema, {body: {case: 'data', value}})
    progress.sent += value.length
  }
  progress.ended = true
}

function announced({size, crc32c, generation}: Content): Record<string, string> {
  return {
    ...(size !== undefined && {'x-object-size': String(size)}),
    ...(crc32c && {'x-object-crc32c': crc32c}),
    ...(generation && {'x-object-generation': generation}),
  }
}

/** Data gets its field's tag and length put before it, in the room that is there, rather than being copied once more. */
function serialized(message: RepoCreateRequest): Uint8Array {
  if (message.body.case !== 'data') return toBinary(RepoCreateRequestSchema, message)
  const {buffer, byteOffset, length} = message.body.value
  const prefix = [dataTag]
  for (let rest = length; ; rest >>>= 7) {
    prefix.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest)
    if (rest <= 0x7f) break
  }
  const framed = new Uint8Array(buffer, byteOffset - prefix.length, prefix.length + length)
  framed.set(prefix)
  return framed
}

function lost(message: string): Fault {
  return new Fault('DATA_LOSS', message, {http: 502, reason: 'DATA_LOSS'})
}

function tooLarge(size: number | undefined): Fault {
  const what = size === undefined ? 'More than' : `${size} bytes are more than`
  return new Fault('OUT_OF_RANGE', `${what} the ${mostBytes} bytes that a Repo can hold`, {reason: 'TOO_LARGE'})
}

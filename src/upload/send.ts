import {create, type Message, toBinary} from '@bufbuild/protobuf'
import type {Sendable} from '../clients/call.ts'
import type {Runtime} from '../clients/runtime.ts'
import {callOf, onlyAnswer} from '../clients/service-client.ts'
import {Crc32c} from '../clients/storage/crc32c.ts'
import type {Backend} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {Life} from '../core/life.ts'
import {chunksOf} from './chunks.ts'
import {framer, headroom} from './frame.ts'
import type {Facts, UploadOptions} from './options.ts'
import type {Plan} from './plan.ts'

/** The content of an upload. If its CRC32C is known, the last bytes are held back until the checksum of all bytes is verified. */
export interface Content extends Facts {
  /** The bytes from the first to the last; `signal` aborts when the call has ended. Each piece is used before the next is requested. */
  readonly pieces: (signal: AbortSignal) => AsyncIterable<Uint8Array>
  /** The same key for each attempt at the same upload, so that a backend can recognize duplicates. */
  readonly idempotencyKey?: string
}

/** The progress of an upload. */
export interface Progress {
  /** Bytes that were passed on for sending. */
  sent: number
  /** Whether these are all bytes. A backend's answer before that is an error. */
  ended?: boolean
  readonly total: number | undefined
}

/** Sends uploads of one kind to one backend. */
export type Sender = (life: Life, first: Message | undefined, content: Content, progress: Progress) => Promise<Message>

/** Default size of a chunk, in bytes. Larger messages are not faster. */
const defaultChunkBytes = 256 * 1024

/**
 * Makes the function that streams content into the plan's method: the first message, if there is one, then the bytes, with
 * backpressure.
 *
 * The known facts about the content are sent first, as metadata `x-object-size`, `x-object-crc32c` and `x-object-generation`. Before the
 * last bytes are sent, the content is checked against these facts. If it is wrong, the call is cancelled. A backend that mistakes the
 * cancellation for the end can tell, because it has received less than was announced.
 *
 * The function throws a Fault: DATA_LOSS (502) when content or reply fail their checks, OUT_OF_RANGE beyond `maxBytes`.
 */
export function sender(runtime: Runtime, backend: Backend, plan: Plan, options: UploadOptions): Sender {
  const {method, name} = plan
  const {sizeOf, verify, fields, maxBytes = Number.POSITIVE_INFINITY, chunkBytes: size = defaultChunkBytes} = options
  const frame = framer(plan.data)
  const wire =
    fields && ((chunk: Parameters<typeof fields>[0]) => toBinary(method.input, create(method.input, fields(chunk))))

  async function* messages(
    signal: AbortSignal,
    first: Message | undefined,
    content: Content,
    progress: Progress,
  ): AsyncGenerator<Sendable> {
    if (first) yield first
    for await (const chunk of chunksOf(checked(content.pieces(signal), content), {size, headroom})) {
      yield frame(chunk.bytes, wire?.(chunk))
      progress.sent += chunk.bytes.length
    }
    if (wire && progress.sent === 0) {
      const empty = {bytes: new Uint8Array(), offset: 0, last: true}
      yield frame(Buffer.alloc(headroom).subarray(headroom), wire(empty))
    }
    progress.ended = true
  }

  /** Yields `pieces`, and throws at their end if they do not match the facts. */
  async function* checked(pieces: AsyncIterable<Uint8Array>, {size, crc32c}: Facts) {
    const checksum = new Crc32c()
    let taken = 0
    for await (const piece of pieces) {
      taken += piece.length
      if (taken > maxBytes) throw tooLarge(size)
      if (crc32c) checksum.update(piece)
      yield piece
    }
    if (size !== undefined && taken !== size) throw lost(`Received ${taken} bytes: expected ${size}`)
    if (crc32c && checksum.toString() !== crc32c) {
      throw lost(`The received bytes have the checksum ${checksum}: expected ${crc32c}`)
    }
  }

  function tooLarge(size: number | undefined): Fault {
    const what = size === undefined ? 'More than' : `${size} bytes are more than`
    return new Fault('OUT_OF_RANGE', `${what} the ${maxBytes} bytes that ${name} takes`, {reason: 'TOO_LARGE'})
  }

  return async (life, first, content, progress) => {
    if ((content.size ?? 0) > maxBytes) throw tooLarge(content.size)
    const requests = (signal: AbortSignal) => messages(signal, first, content, progress)
    const call = callOf(
      runtime,
      {life, backend, method, requests},
      {timeout: Number.POSITIVE_INFINITY, metadata: announced(content)},
    )
    const reply = await life.track(onlyAnswer(call))
    const sent = content.size ?? progress.sent
    const kept = sizeOf ? Number(sizeOf(reply)) : undefined
    if (!progress.ended || (kept !== undefined && kept !== sent)) {
      throw lost(`The backend kept ${kept ?? 'less'} bytes of ${progress.ended ? sent : `more than ${progress.sent}`}`)
    }
    verify?.(reply, {...content, size: sent})
    return reply
  }
}

function announced({size, crc32c, generation, idempotencyKey}: Content): Record<string, string> {
  return {
    ...(size !== undefined && {'x-object-size': String(size)}),
    ...(crc32c && {'x-object-crc32c': crc32c}),
    ...(generation && {'x-object-generation': generation}),
    ...(idempotencyKey && {'idempotency-key': idempotencyKey}),
  }
}

function lost(message: string): Fault {
  return new Fault('DATA_LOSS', message, {http: 502, reason: 'DATA_LOSS'})
}

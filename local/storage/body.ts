import {setImmediate, setTimeout} from 'node:timers/promises'
import type {Exchange} from './exchange.ts'
import type {BodyFault} from './faults.ts'

/** A body to be sent: its chunks, and the first one's position in the object. */
export interface Body {
  readonly chunks: AsyncIterable<Buffer>
  readonly start: number
  readonly fault?: BodyFault
}

/** Sends the body of an answer, with its fault, as fast as the client reads. */
export async function sendBody(exchange: Exchange, {chunks, start, fault}: Body): Promise<void> {
  const until = lengthUnder(fault)
  let at = start
  for await (const chunk of chunks) {
    const part = chunk.subarray(0, Math.max(0, until - at))
    if (fault && 'flipAt' in fault) flip(part, fault.flipAt - at)
    if (fault && 'bytesPerMs' in fault) await writeSlowly(exchange, part, fault.bytesPerMs)
    else await write(exchange, part)
    at += chunk.length
    if (at >= until) break
  }
  await endings[endingUnder(fault)](exchange)
}

function lengthUnder(fault?: BodyFault): number {
  if (!fault) return Infinity
  if ('cutAt' in fault) return fault.cutAt
  if ('stallAt' in fault) return fault.stallAt
  return 'endAt' in fault ? fault.endAt : Infinity
}

function endingUnder(fault?: BodyFault): keyof typeof endings {
  if (fault && 'cutAt' in fault) return 'cut'
  return fault && 'stallAt' in fault ? 'stall' : 'end'
}

const endings = {
  end({response}) {
    response.end()
  },
  async cut({response}) {
    response.flushHeaders()
    // Written bytes are in the kernel, but headers without a body are sent only at the end of this turn.
    await setImmediate()
    response.destroy()
  },
  async stall({response, closed}) {
    response.flushHeaders()
    await over(closed)
  },
} satisfies Record<string, (exchange: Exchange) => void | Promise<void>>

/** Resolves when the response is over. */
export function over(closed: AbortSignal): Promise<void> {
  if (closed.aborted) return Promise.resolve()
  return new Promise((resolve) => closed.addEventListener('abort', () => resolve(), {once: true}))
}

/**
 * Resolves when the kernel has `chunk`, so that its memory may be reused. Rejects when the connection is gone: Node buffers
 * bytes that are written between the connection's end and the response's `close`, and never sends them.
 */
function write({response, log, closed}: Exchange, chunk: Buffer): Promise<void> {
  if (chunk.length === 0) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const onClosed = () => reject(closed.reason)
    if (closed.aborted) return onClosed()
    closed.addEventListener('abort', onClosed, {once: true})
    response.write(chunk, (error) => {
      closed.removeEventListener('abort', onClosed)
      if (error) return reject(error)
      log.bytesSent += chunk.length
      resolve()
    })
  })
}

async function writeSlowly(exchange: Exchange, chunk: Buffer, bytesPerMs: number): Promise<void> {
  const step = Math.max(1, Math.round(bytesPerMs * 10))
  for (let at = 0; at < chunk.length; at += step) {
    const part = chunk.subarray(at, at + step)
    await write(exchange, part)
    await setTimeout(part.length / bytesPerMs, undefined, {signal: exchange.closed})
  }
}

function flip(chunk: Buffer, at: number): void {
  if (at >= 0 && at < chunk.length) chunk[at] = chunk[at]! ^ 0xff
}

import {Fault} from '../../core/fault.ts'
import {over} from '../../core/life.ts'
import type {Sending} from '../sending.ts'
import {chunk, headersOf, isStream, type Reply, type WebSocketReply} from './reply.ts'
import {checkHandshake, type Upgrade} from './upgrade.ts'

/**
 * Sends `reply` as the response. All work of the request has ended before the response does.
 * @throws {Fault} when a stream fails, or the caller does not read
 */
export function send(reply: Reply, life: Sending): Promise<void> {
  const {body = '', webSocket} = reply
  if (webSocket && life.upgrade) return sendWebSocket(webSocket, life.upgrade, life)
  if (isStream(body)) return sendStream(reply, body[Symbol.asyncIterator](), life)
  return sendWhole(reply, asWritten(body), life)
}

async function sendWebSocket(webSocket: WebSocketReply, upgrade: Upgrade, life: Sending): Promise<void> {
  checkHandshake(upgrade.request)
  const {runWebSocket} = await import('./web-socket.ts')
  await runWebSocket(webSocket, upgrade, life)
}

/** Maximum length of text that is written together with the head, in characters. */
const shortText = 4096

/** Short ASCII text unchanged, and any other text as bytes. */
function asWritten(body: string | Uint8Array): string | Uint8Array {
  if (typeof body !== 'string') return body
  return body.length <= shortText && Buffer.byteLength(body) === body.length ? body : Buffer.from(body)
}

async function sendWhole(reply: Reply, body: string | Uint8Array, life: Sending): Promise<void> {
  const {responder} = life
  const isSent = sendsBody(reply, life)
  const size = Buffer.byteLength(body)
  await life.close(over)
  if (life.isObserved) await life.finish({status: reply.status ?? 200, bodySize: isSent ? size : 0})
  if (responder.gone) return
  responder.endIfTooLongToDiscard()
  const trailers = trailersOf(reply, life)
  if (trailers) {
    writeHead(reply, life, naming(trailers))
    responder.trailers(trailers)
  } else writeHead(reply, life, isBodiless(reply) ? {} : {'content-length': String(size)})
  await responder.end(life.deadline, isSent ? body : undefined)
}

type Chunks = AsyncIterator<string | Uint8Array>

/** Sends the head with the first chunk, so that an error before it has its own status, unless the reply sends the head at once. */
async function sendStream(reply: Reply, chunks: Chunks, life: Sending): Promise<void> {
  const {responder} = life
  try {
    let next = reply.headFirst ? undefined : checked(await nextOf(chunks, life))
    const trailers = trailersOf(reply, life)
    writeHead(reply, life, naming(trailers))
    if (reply.headFirst) responder.flush()
    if (sendsBody(reply, life)) {
      next ??= checked(await nextOf(chunks, life))
      for (; !next.done; next = checked(await nextOf(chunks, life))) await responder.write(next.value, life)
    }
    if (!next?.done) stop(chunks, life)
    await life.close(over)
    if (life.isObserved) await life.finish({status: reply.status ?? 200, bodySize: responder.bytes})
    if (trailers) responder.trailers(trailers)
    await responder.end(life.deadline)
  } catch (error) {
    const fault = Fault.from(error)
    stop(chunks, life)
    await life.close(fault)
    if (responder.begun) await endFailed(reply, fault, life)
    throw fault
  }
}

/** The next chunk. Not an async function: each idle stream would hold what it needs to go on. */
function nextOf(chunks: Chunks, life: Sending): Promise<IteratorResult<string | Uint8Array>> {
  return life.race(Promise.resolve(chunks.next()))
}

/** @throws {TypeError} for a chunk that cannot be sent */
function checked(next: IteratorResult<string | Uint8Array>): IteratorResult<string | Uint8Array> {
  if (!next.done) chunk(next.value)
  return next
}

/** Gives the source of the chunks time to clean up before the response ends. */
function stop(chunks: Chunks, life: Sending): void {
  life.track(Promise.try(() => chunks.return?.()).catch(() => {}))
}

async function endFailed(reply: Reply, fault: Fault, life: Sending): Promise<void> {
  const {failureChunk, endsCleanly} = reply
  const last = failureChunk?.(fault, life.errorShape) ?? ''
  await life.finish({status: reply.status ?? 200, bodySize: life.responder.bytes + Buffer.byteLength(last), fault})
  if (endsCleanly?.(fault)) await life.responder.end(life.deadline, asWritten(last))
  else await life.responder.writeLast(last)
}

function writeHead(reply: Reply, life: Sending, framing: Record<string, string> = {}): void {
  const headers = headersOf(reply)
  const vary = [life.responseHeaders.vary, headers.vary].flat().filter((name) => name !== undefined)
  life.responder.head(reply.status ?? 200, {
    ...life.responseHeaders,
    ...headers,
    ...(vary.length > 0 && {vary: vary.join(', ')}),
    ...framing,
    'x-request-id': life.id,
    'x-content-type-options': 'nosniff',
  })
}

/** The trailers to send. They need chunked encoding, which HTTP/1.0 does not have. */
function trailersOf(reply: Reply, life: Sending): Reply['trailers'] {
  return reply.trailers && life.responder.takesChunks && sendsBody(reply, life) ? reply.trailers : undefined
}

function naming(trailers: Reply['trailers']): Record<string, string> {
  return trailers ? {trailer: Object.keys(trailers).join(', ')} : {}
}

function sendsBody(reply: Reply, {method}: Sending): boolean {
  return method !== 'HEAD' && !isBodiless(reply)
}

/** Whether HTTP forbids a body, and therefore a Content-Length. */
function isBodiless({status}: Reply): boolean {
  return status === 204 || status === 304
}

import {randomUUID} from 'node:crypto'
import type {IncomingMessage} from 'node:http'
import {conditionsOf, whenMet} from '../conditions.ts'
import {StorageError} from '../error.ts'
import {type Exchange, headerOf, nameOf, readJson, send, sendJson} from '../exchange.ts'
import type {ObjectMetadata} from '../resource.ts'
import type {Draft} from './draft.ts'
import {complete, hashesOf, headerMetadata, type Upload, uploadOf} from './upload.ts'

/** An upload that may be sent in many requests, one after the other. */
interface Session {
  /** The origin of the page that may send the bytes. */
  readonly page: string | undefined
  readonly upload: Upload
  readonly draft: Draft
  state: 'open' | 'complete' | 'cancelled'
  result?: ObjectMetadata
  /** The request that sends bytes now. */
  sender?: IncomingMessage
  /** Settles when that request has been handled. */
  settled?: Promise<void>
}

/** All resumable uploads of a server. */
export class Resumables {
  readonly #sessions = new Map<string, Session>()

  /** POST …?uploadType=resumable: answers with a Location, the URL for the bytes. */
  async start(exchange: Exchange): Promise<void> {
    const type = headerOf(exchange, 'x-upload-content-type')
    const upload = uploadOf(exchange, await readJson(exchange), type)
    send(exchange, 200, await this.#open(exchange, upload))
  }

  /** POST of a signed URL with `x-goog-resumable: start`. */
  async startSigned(exchange: Exchange): Promise<void> {
    const upload = {
      name: nameOf(exchange),
      about: headerMetadata(exchange),
      conditions: conditionsOf(exchange),
      expected: hashesOf(exchange),
    }
    send(exchange, 201, await this.#open(exchange, upload))
  }

  /**
   * PUT of bytes, or of no bytes to query the progress. Answers 308 with the range received so far, 200 with the object when it is
   * complete, 499 after a cancellation. Unlike Google's server, it keeps any number of bytes, not only multiples of 256 KiB.
   */
  async put(exchange: Exchange): Promise<void> {
    const session = this.#find(exchange)
    await handOver(session)
    if (session.state === 'cancelled') throw new StorageError(499)
    if (session.state === 'complete') return sendJson(exchange, session.result!)

    const range = contentRangeOf(exchange)
    const {promise, resolve} = Promise.withResolvers<void>()
    session.sender = exchange.request
    session.settled = promise
    try {
      if (range.start !== undefined) await append(session, exchange.request, range.start)
      if (!isAll(session, range)) return sendProgress(exchange, session)
      await finish(session, exchange)
    } finally {
      session.sender = undefined
      resolve()
    }
    sendJson(exchange, session.result!)
  }

  /** DELETE: removes the upload. Later requests for it are answered with 499. */
  async cancel(exchange: Exchange): Promise<void> {
    const session = this.#find(exchange)
    await handOver(session)
    if (session.state === 'open') await cancel(session)
    throw new StorageError(499)
  }

  /**
   * Adds CORS headers for the page that began the session: a session has the `Origin` of the request that created it.
   * @returns whether the request was a preflight
   */
  allow({request, response, route}: Pick<Exchange, 'request' | 'response' | 'route'>): boolean {
    const {origin} = request.headers
    const session = this.#sessions.get(route.query.get('upload_id') ?? '')
    if (!origin || session?.page !== origin) return false
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('vary', 'origin')
    response.setHeader('access-control-expose-headers', 'Content-Length, Content-Type, Range, X-GUploader-UploadID')
    return request.method === 'OPTIONS'
  }

  /** Cancels unfinished uploads. */
  async close(): Promise<void> {
    const open = [...this.#sessions.values()].filter(({state}) => state === 'open')
    await Promise.all(open.map(({draft}) => draft.discard()))
    this.#sessions.clear()
  }

  async #open({store, origin, request, route}: Exchange, upload: Upload): Promise<Record<string, string>> {
    whenMet(upload.conditions)(store.peek(upload.name))
    const id = randomUUID()
    this.#sessions.set(id, {page: request.headers.origin, upload, draft: await store.draft(), state: 'open'})
    const path = request.url!.split('?')[0]
    const type = route.form === 'xml' ? '' : `uploadType=resumable&name=${encodeURIComponent(upload.name.object)}&`
    return {Location: `${origin}${path}?${type}upload_id=${id}`, 'X-GUploader-UploadID': id}
  }

  #find({route}: Exchange): Session {
    const session = this.#sessions.get(route.query.get('upload_id') ?? '')
    if (!session) throw new StorageError(404, 'Not Found')
    return session
  }
}

// `bytes a-b/N`. An asterisk for a-b queries the progress, for b it means an unknown number of bytes, and for N an unknown size.
interface ContentRange {
  /** Position of the first byte; undefined for a query of the progress. */
  readonly start?: number
  /** The object's size, if known. */
  readonly total?: number
  /** Whether the object ends with this request. */
  readonly isLast: boolean
}

function contentRangeOf(exchange: Exchange): ContentRange {
  const header = headerOf(exchange, 'content-range')
  if (header === undefined) return {start: 0, isLast: true}
  const [whole, start, end, total] = /^bytes (?:(\d+)-(-?\d+|\*)|\*)\/(\d+|\*)$/.exec(header) ?? []
  if (!whole) throw new StorageError(400, `Failed to parse Content-Range header: "${header}".`)
  return {
    ...(start !== undefined && {start: Number(start)}),
    ...(total !== '*' && {total: Number(total)}),
    isLast: end === '*' && total === '*',
  }
}

function isAll({draft}: Session, {total, isLast}: ContentRange): boolean {
  return isLast || total === draft.size
}

/** Ends the last request: a client that sends another one has given it up, even if its connection still seems open. */
async function handOver(session: Session): Promise<void> {
  while (session.sender) {
    session.sender.destroy()
    await session.settled
  }
}

async function append({draft}: Session, body: AsyncIterable<Buffer>, start: number): Promise<void> {
  let known = draft.size - start
  if (known < 0) {
    const message = `Invalid request. According to the Content-Range header, the upload offset is ${start} byte(s), which exceeds already uploaded size of ${draft.size} byte(s).`
    throw new StorageError(400, message)
  }
  for await (const chunk of body) {
    await draft.write(chunk.subarray(Math.min(known, chunk.length)))
    known = Math.max(0, known - chunk.length)
  }
}

async function finish(session: Session, exchange: Exchange): Promise<void> {
  try {
    session.result = await complete(exchange.store, withHashes(session.upload, exchange), session.draft)
    session.state = 'complete'
  } catch (error) {
    await cancel(session)
    throw error
  }
}

function sendProgress(exchange: Exchange, {draft}: Session): void {
  send(exchange, 308, draft.size > 0 ? {Range: `bytes=0-${draft.size - 1}`} : {})
}

async function cancel(session: Session): Promise<void> {
  session.state = 'cancelled'
  await session.draft.discard()
}

/** Checksums that were unknown at the start may be in the last request. */
function withHashes(upload: Upload, exchange: Exchange): Upload {
  return {...upload, expected: {...upload.expected, ...hashesOf(exchange)}}
}

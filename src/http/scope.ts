import {randomUUID} from 'node:crypto'
import type {Domain} from 'node:domain'
import type {IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import {config} from '../config.ts'
import {Fault} from '../fault.ts'
import {type Life, over, within} from '../life.ts'
import {type Logger, log} from '../log.ts'
import {bodyOf, wholeBody} from './body.ts'
import {callerTimeout} from './deadline.ts'
import {requestRecord} from './record.ts'
import {failure, type Reply} from './reply.ts'
import {inFlight, isStopping} from './shutdown.ts'
import {traceFields} from './trace.ts'
import {contentTypeOf, urlOf} from './untouched.ts'

/** The life of one HTTP request, and what it asks. */
export interface Scope extends Life {
  readonly method: string
  /** The path as it stood in the request's first line, still percent-encoded; `/` at least. */
  readonly path: string
  /** What followed the first `?`, as it stood; empty when nothing did. */
  readonly rawQuery: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly contentType: string | undefined
  /** The body's bytes as they arrive, to be read once. */
  readonly body: AsyncIterable<Buffer>
  /**
   * The whole body.
   * @param limit bytes, 1 MiB unless given
   * @throws {Fault} 413 beyond the limit, 415 when it is compressed
   */
  bytes(limit?: number): Promise<Buffer>
}

/** What a function is: it gets a scope and gives a reply, and whatever it does, its caller gets one answer. */
export type Handler = (scope: Scope) => Promise<Reply> | Reply

/** Headers that go through to backends. */
const traceHeaders = ['traceparent', 'tracestate', 'x-cloud-trace-context'] as const

/** What is kept of the function's own timeout, to answer 504 before the platform does, in ms. */
const toAnswer = 1000

/** How long work that was told to end has to end before the answer goes out without it, in ms. */
const grace = 500

/**
 * `handler` as a function of the functions-framework: it is answered exactly once, whatever `handler` does, and what was
 * begun in the scope has ended before the response has.
 */
export function serve(handler: Handler): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return (request, response) => new RequestScope(request, response).run(handler)
}

class RequestScope implements Scope {
  readonly method: string
  readonly path: string
  readonly rawQuery: string
  readonly headers: IncomingHttpHeaders
  readonly contentType: string | undefined
  readonly id: string
  readonly trace: Readonly<Record<string, string>>
  deadline = Number.POSITIVE_INFINITY

  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #began = performance.now()
  readonly #end = new AbortController()
  readonly #begun = new Set<Promise<unknown>>()
  readonly #notes: Record<string, unknown> = {}
  #log: Logger | undefined
  #query: URLSearchParams | undefined
  #timer: NodeJS.Timeout | undefined
  #sent = 0

  constructor(request: IncomingMessage, response: ServerResponse) {
    const url = urlOf(request).replace(/^https?:\/\/[^/?]*/i, '')
    const mark = url.indexOf('?')
    this.#request = request
    this.#response = response
    this.method = request.method ?? 'GET'
    this.path = (mark < 0 ? url : url.slice(0, mark)) || '/'
    this.rawQuery = mark < 0 ? '' : url.slice(mark + 1)
    this.headers = request.headers
    this.contentType = contentTypeOf(request)
    this.id = requestId(request.headers['x-request-id'])
    this.trace = passedOn(request.headers)
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.rawQuery)
    return this.#query
  }

  get log(): Logger {
    this.#log ??= log.child({requestId: this.id, ...traceFields(this.headers)})
    return this.#log
  }

  get body(): AsyncIterable<Buffer> {
    return bodyOf(this.#request, this.signal)
  }

  bytes(limit?: number): Promise<Buffer> {
    return wholeBody(this.#request, this.signal, limit)
  }

  track<T>(work: Promise<T>): Promise<T> {
    this.#begun.add(work)
    const settled = () => this.#begun.delete(work)
    work.then(settled, settled)
    return work
  }

  note(fields: Record<string, unknown>): void {
    Object.assign(this.#notes, fields)
  }

  async run(handler: Handler): Promise<void> {
    const done = Promise.withResolvers<void>()
    inFlight({done: done.promise, fail: (fault) => this.#end.abort(fault)})
    this.#watch()
    let fault: Fault | undefined
    try {
      this.#startClock()
      await this.#send(await this.#race(Promise.try(handler, this)))
    } catch (error) {
      fault = Fault.from(error)
      await this.#fail(fault)
    } finally {
      clearTimeout(this.#timer)
      this.#report(fault)
      done.resolve()
    }
  }

  /** Ends the life at once when the caller hangs up, or when something throws where nobody could catch it. */
  #watch(): void {
    // The response's `close`, not the request's: that one comes as soon as the body has been read.
    this.#response.once('close', () => {
      if (!this.#response.writableFinished) this.#end.abort(new Fault('CANCELLED', 'The caller hung up'))
    })
    this.#response.on('error', () => {})
    // The framework would answer such an error itself, in its own words, beside our answer.
    const {domain} = process as {domain?: Domain}
    domain?.removeAllListeners('error')
    domain?.on('error', (error) => {
      if (this.signal.aborted) this.log.error({err: error}, 'Thrown after the request was over')
      else this.#end.abort(Fault.from(error))
    })
  }

  #startClock(): void {
    if (isStopping()) throw new Fault('UNAVAILABLE', 'The instance is stopping: try again')
    const timeout = Math.min(callerTimeout(this.headers), config.requestTimeout - toAnswer)
    this.deadline = Date.now() + timeout
    this.#timer = setTimeout(() => {
      this.#end.abort(new Fault('DEADLINE_EXCEEDED', `No answer within ${timeout / 1000} s`))
    }, timeout)
  }

  #race<T>(work: Promise<T>): Promise<T> {
    return within(this.signal, this.track(work))
  }

  async #send(reply: Reply): Promise<void> {
    if (typeof reply !== 'object' || reply === null) {
      throw new Fault('INTERNAL', 'Internal error', {
        cause: new TypeError(`The function returned ${reply}: wanted a reply`),
      })
    }
    const {body} = reply
    if (typeof body === 'object' && Symbol.asyncIterator in body)
      await this.#stream(reply, body[Symbol.asyncIterator]())
    else await this.#finish(reply, typeof body === 'string' ? Buffer.from(body) : body)
  }

  /** All that was begun has ended, and then the answer leaves. */
  async #finish(reply: Reply, body: Uint8Array = new Uint8Array()): Promise<void> {
    await this.#close(over)
    if (this.#response.destroyed) return
    const status = reply.status ?? 200
    const bodiless = status === 204 || status === 304
    this.#head(reply, bodiless ? {} : {'content-length': String(body.byteLength)})
    this.#sent = this.method === 'HEAD' || bodiless ? 0 : body.byteLength
    await this.#flush((sent) => this.#response.end(body, sent))
  }

  /** The head goes out with the first piece, so that what fails before it is still answered with a status of its own. */
  async #stream(reply: Reply, pieces: AsyncIterator<string | Uint8Array>): Promise<void> {
    try {
      for (;;) {
        const {done, value} = await this.#race(Promise.try(() => pieces.next()))
        if (!this.#response.headersSent) this.#head(reply)
        if (done) break
        await this.#race(this.#write(value))
      }
    } catch (error) {
      this.track(Promise.try(() => pieces.return?.()).catch(() => {}))
      if (!this.#response.headersSent) throw error
      const fault = Fault.from(error)
      await this.#close(fault)
      await this.#cut(reply.failure?.(fault))
      throw fault
    }
    await this.#close(over)
    await this.#flush((sent) => this.#response.end(sent))
  }

  #head(reply: Reply, headers: Record<string, string> = {}): void {
    this.#response.writeHead(reply.status ?? 200, {
      ...headers,
      ...reply.headers,
      'x-request-id': this.id,
      'x-content-type-options': 'nosniff',
      ...(isStopping() && {connection: 'close'}),
    })
  }

  /** Resolves when more may be written; never, when the caller has hung up: the signal tells that. */
  async #write(piece: string | Uint8Array): Promise<void> {
    this.#sent += Buffer.byteLength(piece)
    if (this.#response.write(piece)) return
    const {promise, resolve} = Promise.withResolvers<void>()
    this.#response.once('drain', resolve)
    this.#response.once('close', resolve)
    await promise
    this.#response.off('drain', resolve)
    this.#response.off('close', resolve)
  }

  /** Sends `last` and then cuts the connection: what arrived can not pass for all of it. */
  async #cut(last?: string): Promise<void> {
    if (last && !this.#response.destroyed) await this.#flush((sent) => this.#response.write(last, sent))
    this.#response.destroy()
  }

  async #fail(fault: Fault): Promise<void> {
    await this.#close(fault)
    if (this.#response.headersSent || this.#response.destroyed) return
    const {body, ...head} = failure(fault)
    await this.#finish(head, Buffer.from(body as string))
  }

  /** Tells all that was begun to end, and waits until it has. */
  async #close(reason: Fault): Promise<void> {
    clearTimeout(this.#timer)
    if (!this.signal.aborted) this.#end.abort(reason)
    if (this.#begun.size === 0) return
    const {promise, resolve} = Promise.withResolvers<'late'>()
    const timer = setTimeout(resolve, grace, 'late')
    const ended = await Promise.race([this.#ended(), promise])
    clearTimeout(timer)
    if (ended === 'late') this.log.error(`${this.#begun.size} pieces of work did not end when their request did`)
  }

  async #ended(): Promise<void> {
    while (this.#begun.size > 0) await Promise.allSettled(this.#begun)
  }

  async #flush(send: (sent: () => void) => void): Promise<void> {
    const {promise, resolve} = Promise.withResolvers<void>()
    this.#response.once('close', resolve)
    send(resolve)
    await promise
    this.#response.off('close', resolve)
  }

  #report(fault: Fault | undefined): void {
    const hungUp = !this.#response.headersSent
    const status = hungUp ? 499 : this.#response.statusCode
    const {level, ...record} = requestRecord(this.#request, {
      status,
      fault,
      path: this.path,
      url: urlOf(this.#request),
      bytes: this.#sent,
      latency: performance.now() - this.#began,
    })
    this.log[level]({...record.fields, ...this.#notes}, record.message)
  }
}

/** The caller's own id when it can be one, or else a new one. */
function requestId(header: string | string[] | undefined): string {
  return typeof header === 'string' && /^[\x21-\x7e]{1,128}$/.test(header) ? header : randomUUID()
}

function passedOn(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {}
  for (const name of traceHeaders) {
    const value = headers[name]
    if (typeof value === 'string') passed[name] = value
  }
  return passed
}

import {randomUUID} from 'node:crypto'
import type {IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import type {Config} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {type Life, over} from '../core/life.ts'
import type {Logger} from '../core/log.ts'
import {atMost, latenessOf, within} from '../core/waiting.ts'
import {type Admission, admissionOf, BodyAccount} from './admission.ts'
import {bodyOf, hasBody, isTooLongToDiscard, refuseCompressed, wholeBody} from './body.ts'
import {allowCors} from './cors.ts'
import {refuseCrossSite} from './cross-site.ts'
import {answers, runInContextOf} from './current-request.ts'
import {callerTimeout} from './deadline.ts'
import {checkHead} from './framing.ts'
import {inFlight, isStopping} from './in-flight.ts'
import {answerInstead, methodsOf} from './methods.ts'
import {normalPath} from './normal-path.ts'
import {contentTypeOf, urlOf} from './original.ts'
import {requestRecord} from './record.ts'
import {failure, headersOf, isStream, piece, type Reply, sendable} from './reply.ts'
import {Responder} from './responder.ts'
import {passedOn, traceFields} from './trace.ts'

/** The life of one HTTP request, and what it asks. */
export interface Scope extends Life {
  readonly method: string
  /**
   * The path as it stood in the request's first line, still percent-encoded but for what never needs to be (RFC 3986
   * 6.2.2.2), so that `/heal%74h` is `/health` to all that look at it; `/` at least.
   */
  readonly path: string
  /** What followed the first `?`, as it stood; empty when nothing did. */
  readonly rawQuery: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly contentType: string | undefined
  /** The body's bytes as they arrive, to be read once. */
  readonly body: AsyncIterable<Buffer>
  /**
   * The whole body, which counts among the bytes that the instance decodes until hold() says otherwise.
   * @param limit bytes, 1 MiB unless given
   * @throws {Fault} 413 beyond the limit, 429 beyond what the instance decodes at once, 415 when it is compressed:
   *   inflating is not limited by what arrives
   */
  bytes(limit?: number): Promise<Buffer>
  /** As bytes(), compressed or not. @throws {Fault} 413, 429 */
  bytesAsSent(limit?: number): Promise<Buffer>
  /**
   * Says how many bytes of the body are held from now on: read, and not yet decoded and passed on. Zero at the end.
   * @throws {Fault} 429 when that is more than before, and more than the instance decodes at once
   */
  hold(bytes: number): void
  /** @throws {Fault} 415 when the body is compressed: inflating is not limited by what arrives */
  refuseCompressed(): void
  /** The origins whose pages may call; `*` for all. */
  readonly corsOrigins: ReadonlySet<string>
  /** Headers that the answer has, whatever it will be. */
  readonly also: Record<string, string>
  /** What a failure looks like; AIP-193 unless set. */
  failure: (fault: Fault) => Reply
}

/** What a function is: it gets a scope and gives a reply, and whatever it does, its caller gets one answer. */
export interface Handler {
  (scope: Scope): Promise<Reply> | Reply
  /** Called first: what it sets in the scope holds for every answer, also when the request gets no further. */
  before?: (scope: Scope) => void
  /** The methods that it is called with, and HEAD wherever GET is: others are answered with 405. Any, unless given. */
  methods?: readonly string[]
  /** Whether it is called with OPTIONS as well, preflights among them: else they are answered for it. */
  answersOptions?: boolean
  /** Where it is only a choice of others: the one that `scope` is for, to be taken in its place. */
  choose?: (scope: Scope) => Handler
  /** Whether it is called however many requests the instance answers: a health check. */
  exempt?: boolean
}

/** What requests are served with: a runtime has all of it. */
export interface Serving {
  readonly log: Logger
  readonly config: Pick<Config, 'requestTimeout' | 'projectId' | 'trustedHops' | 'corsOrigins' | 'limits'>
}

/** A function of the functions-framework. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** What is kept of the function's own timeout, to answer 504 before the platform does, in ms. */
const toAnswer = 1000

/** How long work that was told to end has to end before the answer goes out without it, in ms. */
const grace = 500

/**
 * `handler` as a function of the functions-framework: it is answered exactly once, whatever `handler` does, and what was
 * begun in the scope has ended before the response has.
 */
export function serve(handler: Handler, serving: Serving): NodeHandler {
  return async (request, response) => {
    const scope = new RequestScope(request, response, serving)
    answers(response, scope)
    await runInContextOf(scope, () => scope.run(handler))
  }
}

class RequestScope implements Scope {
  readonly method: string
  readonly path: string
  readonly rawQuery: string
  readonly headers: IncomingHttpHeaders
  readonly contentType: string | undefined
  readonly id: string
  readonly trace: Readonly<Record<string, string>>
  readonly also: Record<string, string> = {}
  deadline: number
  failure = failure

  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #responder: Responder
  readonly #serving: Serving
  readonly #began = performance.now()
  readonly #end = new AbortController()
  readonly #begun = new Set<Promise<unknown>>()
  readonly #notes: Record<string, unknown> = {}
  readonly #admission: Admission
  readonly #account: BodyAccount
  #log: Logger | undefined
  #query: URLSearchParams | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(request: IncomingMessage, response: ServerResponse, serving: Serving) {
    const url = urlOf(request).replace(/^https?:\/\/[^/?]*/i, '')
    const mark = url.indexOf('?')
    this.#request = request
    this.#response = response
    this.#responder = new Responder(request, response)
    this.#serving = serving
    this.#admission = admissionOf(serving)
    this.#account = new BodyAccount(this.#admission)
    this.deadline = Date.now() + serving.config.requestTimeout - toAnswer
    this.method = request.method ?? 'GET'
    this.path = normalPath(mark < 0 ? url : url.slice(0, mark)) || '/'
    this.rawQuery = mark < 0 ? '' : url.slice(mark + 1)
    this.headers = request.headers
    this.contentType = contentTypeOf(request)
    this.id = requestId(request.headers['x-request-id'])
    this.trace = passedOn(request.headers)
  }

  get corsOrigins(): ReadonlySet<string> {
    return this.#serving.config.corsOrigins
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.rawQuery)
    return this.#query
  }

  get log(): Logger {
    const {log, config} = this.#serving
    this.#log ??= log.child({requestId: this.id, ...traceFields(this.headers, config.projectId)})
    return this.#log
  }

  get body(): AsyncIterable<Buffer> {
    return bodyOf(this.#request, this.signal, () => this.#responder.goOn())
  }

  async bytes(limit?: number): Promise<Buffer> {
    if (hasBody(this.headers)) this.refuseCompressed()
    return await this.bytesAsSent(limit)
  }

  bytesAsSent(limit?: number): Promise<Buffer> {
    return wholeBody(this, this.#account, limit)
  }

  hold(bytes: number): void {
    this.#account.hold(bytes)
  }

  refuseCompressed(): void {
    refuseCompressed(this.headers)
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

  fail(fault: Fault): boolean {
    if (this.signal.aborted) return false
    this.#end.abort(fault)
    return true
  }

  async run(given: Handler): Promise<void> {
    const done = Promise.withResolvers<void>()
    inFlight(this, done.promise)
    let fault: Fault | undefined
    let entered = false
    try {
      this.#watch()
      const handler = given.choose?.(this) ?? given
      handler.before?.(this)
      allowCors(this, methodsOf(handler))
      this.#checkHead()
      if (!handler.exempt) {
        this.#admission.enter()
        entered = true
      }
      this.#startClock()
      refuseCrossSite(this)
      const instead = answerInstead(this, handler)
      await this.#send(instead ?? sendable(await this.#race(Promise.try(handler, this))))
    } catch (error) {
      // What cannot be sent, because of a header of its own, is a failure of ours.
      fault = await this.#fail(Fault.from(error)).catch((cause) => this.#fail(Fault.from(cause)))
    } finally {
      clearTimeout(this.#timer)
      this.#account.close()
      if (entered) this.#admission.leave()
      done.resolve()
      this.#report(fault ?? (this.#responder.done ? undefined : hungUp()))
    }
  }

  /** Ends the life at once when the caller hangs up, or when something throws where nobody could catch it. */
  #watch(): void {
    // The response's `close`, not the request's: that one comes as soon as the body has been read.
    this.#response.once('close', () => {
      if (!this.#response.writableFinished) this.#end.abort(hungUp())
    })
    if (this.#response.destroyed) this.#end.abort(hungUp())
    // The connection has ended, by its caller or behind its last answer: nobody can be answered, so nothing is carried out.
    if (!this.#request.socket.writable)
      this.fail(new Fault('CANCELLED', 'The connection ended before the request began'))
    this.#response.on('error', () => {})
  }

  /** @throws {Fault} for what leaves open where the request ends, or may: the connection ends with the answer to it */
  #checkHead(): void {
    this.#responder.isLast = true
    checkHead(this.#request)
    this.#responder.isLast = false
  }

  #startClock(): void {
    this.signal.throwIfAborted()
    if (isStopping()) throw new Fault('UNAVAILABLE', 'The instance is stopping: try again')
    const timeout = Math.min(callerTimeout(this.headers), this.#serving.config.requestTimeout - toAnswer)
    this.deadline = Date.now() + timeout
    this.#timer = setTimeout(() => {
      this.#end.abort(latenessOf(this.signal) ?? new Fault('DEADLINE_EXCEEDED', `No answer within ${timeout / 1000} s`))
    }, timeout)
  }

  #race<T>(work: Promise<T>): Promise<T> {
    return within(this.signal, this.track(work))
  }

  async #send(reply: Reply): Promise<void> {
    const {body = ''} = reply
    if (isStream(body)) await this.#stream(reply, body[Symbol.asyncIterator]())
    else await this.#finish(reply, typeof body === 'string' ? Buffer.from(body) : body)
  }

  /** All that was begun has ended, and then the answer leaves. */
  async #finish(reply: Reply, body: Uint8Array): Promise<void> {
    await this.#close(over)
    if (this.#responder.gone) return
    this.#responder.isLast ||= isTooLongToDiscard(this.#request)
    this.#head(reply, isBodiless(reply) ? {} : {'content-length': String(body.byteLength)})
    await this.#responder.end(this.deadline, this.#sendsBody(reply) ? body : undefined)
  }

  /** The head goes out with the first piece, so that what fails before it is still answered with a status of its own. */
  async #stream(reply: Reply, pieces: AsyncIterator<string | Uint8Array>): Promise<void> {
    const responder = this.#responder
    try {
      let next = await this.#next(pieces)
      this.#head(reply)
      for (; !next.done && this.#sendsBody(reply); next = await this.#next(pieces)) {
        await responder.write(next.value, this.signal)
      }
      if (!next.done) this.#leave(pieces)
      await this.#close(over)
      await responder.end(this.deadline)
    } catch (error) {
      const fault = Fault.from(error)
      this.#leave(pieces)
      await this.#close(fault)
      if (responder.begun) await this.#sayLast(reply, fault)
      throw fault
    }
  }

  async #sayLast({failure, endsWith}: Reply, fault: Fault): Promise<void> {
    const words = failure?.(fault) ?? ''
    if (endsWith?.(fault)) await this.#responder.end(this.deadline, Buffer.from(words))
    else await this.#responder.sayLast(words)
  }

  async #next(pieces: AsyncIterator<string | Uint8Array>): Promise<IteratorResult<string | Uint8Array>> {
    const next = await this.#race(Promise.try(() => pieces.next()))
    if (!next.done) piece(next.value)
    return next
  }

  /** Whoever makes the pieces may clean up before the response is finished. */
  #leave(pieces: AsyncIterator<unknown>): void {
    this.track(Promise.try(() => pieces.return?.()).catch(() => {}))
  }

  #sendsBody(reply: Reply): boolean {
    return this.method !== 'HEAD' && !isBodiless(reply)
  }

  #head(reply: Reply, framing: Record<string, string> = {}): void {
    const headers = headersOf(reply)
    this.#responder.isLast ||= isStopping()
    const vary = [this.also.vary, headers.vary].flat().filter((name) => name !== undefined)
    this.#responder.head(reply.status ?? 200, {
      ...this.also,
      ...headers,
      ...(vary.length > 0 && {vary: vary.join(', ')}),
      ...framing,
      'x-request-id': this.id,
      'x-content-type-options': 'nosniff',
    })
  }

  /** Answers with `fault` where there is no answer yet, and cuts the one that is not complete; gives `fault` back. */
  async #fail(fault: Fault): Promise<Fault> {
    await this.#close(fault)
    if (this.#responder.done) return fault
    if (this.#responder.begun) this.#responder.cut()
    else {
      const {body, ...head} = this.failure(fault)
      await this.#finish(head, Buffer.from(body as string))
    }
    return fault
  }

  /** Tells all that was begun to end, and waits until it has. */
  async #close(reason: Fault): Promise<void> {
    clearTimeout(this.#timer)
    if (!this.signal.aborted) this.#end.abort(reason)
    if (this.#begun.size === 0 || (await atMost(grace, this.#ended()))) return
    this.log.error(`${this.#begun.size} pieces of work did not end when their request did`)
    this.#begun.clear()
  }

  async #ended(): Promise<void> {
    while (this.#begun.size > 0) await Promise.allSettled(this.#begun)
  }

  #report(fault: Fault | undefined): void {
    const {level, ...record} = requestRecord(this.#request, {
      status: this.#responder.begun ? this.#response.statusCode : 499,
      fault,
      path: this.path,
      query: this.rawQuery,
      bytes: this.#responder.bytes,
      latency: performance.now() - this.#began,
      trustedHops: this.#serving.config.trustedHops,
    })
    this.log[level]({...record.fields, ...this.#notes}, record.message)
  }
}

function hungUp(): Fault {
  return new Fault('CANCELLED', 'The caller hung up')
}

/** Whether HTTP lets it have no body, and so no length of one. */
function isBodiless({status}: Reply): boolean {
  return status === 204 || status === 304
}

/** The caller's own id when it can be one, or else a new one. */
function requestId(header: string | string[] | undefined): string {
  return typeof header === 'string' && /^[\x21-\x7e]{1,128}$/.test(header) ? header : randomUUID()
}

import {randomUUID} from 'node:crypto'
import type {IncomingHttpHeaders, IncomingMessage, ServerResponse} from 'node:http'
import {Readable} from 'node:stream'
import type {DescMethod} from '@bufbuild/protobuf'
import {type Door, doorOf, type Proofs} from '../auth/door.ts'
import {checkNames} from '../auth/names.ts'
import type {Access} from '../auth/rules.ts'
import {type Caller, callerFields} from '../core/caller.ts'
import type {ErrorShape} from '../core/config.ts'
import {contractOf} from '../core/contract.ts'
import {Fault} from '../core/fault.ts'
import {LazySignal} from '../core/lazy-signal.ts'
import type {Logger} from '../core/log.ts'
import type {RequestSpan} from '../core/telemetry/spans.ts'
import {prepareTelemetry, telemetry} from '../core/telemetry/telemetry.ts'
import {atMost, latenessOf, within} from '../core/waiting.ts'
import {accessOf} from './access.ts'
import {type Admission, admissionOf, BodyAccount} from './admission.ts'
import {answers, runInContextOf} from './current-request.ts'
import {inFlight, isStopping} from './in-flight.ts'
import {contentTypeOf, urlOf} from './original.ts'
import {ownHandler, resourceOf} from './own-paths.ts'
import {ratedCaller} from './rate-limit.ts'
import {flushed} from './record/flushing.ts'
import {requestRecord} from './record/record.ts'
import {remoteIp} from './record/remote-ip.ts'
import {factsOf} from './record/span-facts.ts'
import {passedOn, traceFields} from './record/trace.ts'
import {bodyOf, hasBody, readBefore, refuseCompressed, wholeBody} from './request/body.ts'
import {allowCors, isPreflight} from './request/cors.ts'
import {refuseCrossSite} from './request/cross-site.ts'
import {callerTimeout} from './request/deadline.ts'
import {checkHead} from './request/framing.ts'
import {answerInstead, methodsOf} from './request/methods.ts'
import {normalPath} from './request/normal-path.ts'
import {httpStatusOf} from './response/failure.ts'
import {failureReply, type Reply, sendable} from './response/reply.ts'
import {Responder} from './response/responder.ts'
import {send} from './response/send.ts'
import {protocolsOf, type Upgrade, upgradeOf} from './response/upgrade.ts'
import type {Handler, NodeHandler, Scope, Serving} from './scope.ts'
import type {Ending, Sending} from './sending.ts'

/** Reserved at the end of the platform's timeout so that we, not Cloud Run, send the 504, in ms. */
const timeToAnswer = 1000

/** Timeout for the store of rate limits, in ms. Then the request proceeds without it. */
const storePatience = 500

/** Limit for the gRPC calls in a request's record. */
const maxNotedCalls = 50

/** Grace period for aborted work to end before the response leaves without it, in ms. */
const abortGrace = 500

/**
 * Makes a function of the functions-framework from `handler`. Each request gets exactly one response, for any behaviour of `handler`, and
 * the response ends only after all work that the scope tracks has ended. `register` and `run` do this for you.
 * @param serving a runtime
 * @throws {ConfigError} for names in AUTH_PUBLIC, AUTH_ALLOW and AUTH_API_KEYS that cannot be used
 * @example
 * import {http} from '@google-cloud/functions-framework'
 *
 * http('hello', serve(() => json({hello: 'world'}), createRuntime(readConfig(process.env))))
 */
export function serve(handler: Handler, serving: Serving): NodeHandler {
  // Reads the configured files now rather than at the first request.
  doorOf(serving)
  checkNames(serving)
  return (request, response) => {
    const scope = new RequestScope(request, response, serving)
    answers(response, scope)
    const begin = () => runInContextOf(scope, () => scope.begin(handler))
    return prepareTelemetry()?.then(begin) ?? begin()
  }
}

/** The life of one request, with its signal, deadline, response and log record. */
class RequestScope implements Scope, Sending, Proofs {
  readonly method: string
  readonly path: string
  readonly rawQuery: string
  readonly headers: IncomingHttpHeaders
  readonly contentType: string | undefined
  readonly id: string
  readonly trace: Readonly<Record<string, string>>
  readonly responseHeaders: Record<string, string> = {}
  failureTrailers?: Reply['trailers']
  readonly responder: Responder
  readonly lazySignal = new LazySignal()
  deadline: number
  span: RequestSpan | undefined

  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #serving: Serving
  readonly #began = performance.now()
  readonly #work = new Set<Promise<unknown>>()
  readonly #notes: Record<string, unknown> = {}
  readonly #admission: Admission
  readonly #account: BodyAccount
  readonly #door: Door
  #caller: Caller | undefined
  /** The whole body, if its signature was checked. */
  #body: Buffer | undefined
  #errorShape: ErrorShape = 'aip'
  #failure: Handler['failure']
  #log: Logger | undefined
  #query: URLSearchParams | undefined
  #timer: NodeJS.Timeout | undefined
  #isFlushed = false
  /** The error that the response reports. */
  #fault: Fault | undefined

  constructor(request: IncomingMessage, response: ServerResponse, serving: Serving) {
    const url = urlOf(request).replace(/^https?:\/\/[^/?]*/i, '')
    const mark = url.indexOf('?')
    this.#request = request
    this.#response = response
    this.responder = new Responder(request, response)
    this.#serving = serving
    this.#admission = admissionOf(serving)
    this.#door = doorOf(serving)
    this.#account = new BodyAccount(this.#admission, (fault) => this.fail(fault))
    this.deadline = Date.now() + serving.config.requestTimeout - timeToAnswer
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

  get errorShape(): ErrorShape {
    return this.#errorShape
  }

  get caller(): Caller | undefined {
    return this.#caller
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders
  }

  get resource(): string {
    return resourceOf(this, this.#serving.config.auth)
  }

  identified(caller: Caller): void {
    this.#caller = caller
    this.note({caller: callerFields(caller)})
  }

  report(problem: string): void {
    this.log.error(problem)
  }

  checkCall({name, parent}: DescMethod): void {
    // A client may belong to another runtime. The access rules in its protos apply to this request too.
    contractOf(this.#serving).learn([parent])
    this.#door.checkCall(this.#caller, `${parent.typeName}/${name}`)
  }

  async admit(access: Access): Promise<void> {
    const admitted = this.#door.admit(this, access)
    if (admitted) await within(this.signal, admitted)
  }

  may(name: string): boolean {
    return this.#door.may(this.#caller, name)
  }

  get upgrade(): Upgrade | undefined {
    return upgradeOf(this.#request)
  }

  get webSocket(): readonly string[] | undefined {
    return this.upgrade && protocolsOf(this.#request)
  }

  get signal(): AbortSignal {
    return this.lazySignal.signal
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.rawQuery)
    return this.#query
  }

  get log(): Logger {
    const {log, config} = this.#serving
    if (this.#log) return this.#log
    const headers = this.span ? {...this.headers, ...this.span.headers} : this.headers
    this.#log = log.child({requestId: this.id, ...traceFields(headers, config.projectId)})
    return this.#log
  }

  get body(): AsyncIterable<Buffer> {
    if (this.#body) return Readable.from([this.#body])
    return bodyOf(this.#request, this.signal, () => this.responder.goOn())
  }

  async bytes(limit?: number): Promise<Buffer> {
    if (hasBody(this.headers)) this.refuseCompressed()
    return await this.bytesAsSent(limit)
  }

  async bytesAsSent(limit?: number): Promise<Buffer> {
    return await (this.#body ? readBefore(this.#body, limit) : wholeBody(this, this.#account, limit))
  }

  async rawBody(limit: number): Promise<Buffer> {
    this.#body = await this.bytesAsSent(limit)
    return this.#body
  }

  hold(bytes: number): void {
    this.#account.hold(bytes)
  }

  holdPart(bytes: number): void {
    this.#account.holdPart(bytes)
  }

  keep(bytes: number, onDrop: () => void): void {
    this.#account.keep(bytes, onDrop)
  }

  refuseCompressed(): void {
    refuseCompressed(this.headers)
  }

  track<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work)
    const settled = () => this.#work.delete(work)
    work.then(settled, settled)
    return work
  }

  note(fields: Record<string, unknown>): void {
    const {grpc} = this.#notes
    Object.assign(this.#notes, fields)
    // If a request makes several calls, its record has all of them, and the last one also in the field for a single call.
    if (grpc === undefined || fields.grpc === undefined) return
    this.#notes.grpcCalls ??= [grpc]
    const calls = this.#notes.grpcCalls as unknown[]
    if (calls.length < maxNotedCalls) calls.push(fields.grpc)
  }

  fail(fault: Fault): boolean {
    if (this.lazySignal.reason) return false
    this.lazySignal.abort(fault)
    return true
  }

  /** Runs the request, in a span if the process has an OpenTelemetry SDK. */
  begin(given: Handler): Promise<void> {
    this.span = telemetry()?.request(factsOf(this.#request, {path: this.path, config: this.#serving.config}))
    return this.span ? this.span.run(() => this.run(given)) : this.run(given)
  }

  async run(given: Handler): Promise<void> {
    const done = Promise.withResolvers<void>()
    inFlight(this, done.promise)
    let fault: Fault | undefined
    let entered = false
    try {
      this.#watch()
      let handler = this.#chosen(given)
      this.#errorShape = handler.errorShape ?? 'aip'
      this.#failure = handler.failure
      allowCors(this, () => methodsOf(handler))
      this.#checkHead()
      // A page cannot read the response to a refused preflight, so it would not learn to retry.
      if (!handler.exempt && !this.#isOwnPreflight(handler)) {
        this.#admission.enter()
        entered = true
      }
      this.#startClock()
      refuseCrossSite(this)
      if (handler.prepare && !this.#isOwnPreflight(handler)) handler = await this.#prepared(handler.prepare)
      await this.#enterDoor(handler)
      const instead = answerInstead(this, handler)
      await send(instead ?? sendable(await this.race(Promise.try(handler, this))), this)
    } catch (error) {
      // An error whose own header is invalid becomes INTERNAL.
      fault = await this.#fail(Fault.from(error)).catch((cause) => this.#fail(Fault.from(cause)))
    } finally {
      clearTimeout(this.#timer)
      this.#account.close()
      // Node keeps the last request of a connection until the next one.
      this.#body = undefined
      if (entered) this.#admission.leave()
      done.resolve()
      if (this.span) this.#endSpan({status: this.#status, bodySize: this.responder.bytes})
      this.#report(fault ?? (this.responder.done ? undefined : hungUp()))
    }
  }

  #chosen(given: Handler): Handler {
    let handler = ownHandler(this, this.#serving) ?? given
    while (handler.choose) handler = handler.choose(this)
    return handler
  }

  async #prepared(prepare: NonNullable<Handler['prepare']>): Promise<Handler> {
    const handler = await this.race(prepare(this))
    this.#errorShape = handler.errorShape ?? 'aip'
    this.#failure = handler.failure
    return handler
  }

  /** Whether it is a preflight or OPTIONS that is answered without `handler`. */
  #isOwnPreflight(handler: Handler): boolean {
    return isPreflight(this) && !handler.answersOptions
  }

  /** @throws {Fault} 401, 403, 429, 503 */
  async #enterDoor(handler: Handler): Promise<void> {
    if (this.#isOwnPreflight(handler)) return
    let isRefused = true
    try {
      const access = accessOf(handler, this)
      if (this.span && access.name?.startsWith('/')) this.span.routed(access.name)
      const admitted = this.#door.admit(this, access)
      if (admitted) await within(this.signal, admitted)
      isRefused = false
    } finally {
      // Refused requests count too, even health checks, so that guessing credentials is limited.
      if (isRefused || !handler.exempt) await this.#limitRate()
    }
  }

  /** @throws {Fault} 429 */
  async #limitRate(): Promise<void> {
    const {trustedHops} = this.#serving.config
    const caller = () => ratedCaller(this.#caller, remoteIp(this.#request, trustedHops))
    try {
      const counted = this.#admission.rate(caller, (headers) => Object.assign(this.responseHeaders, headers))
      if (!counted || (await within(this.signal, atMost(storePatience, counted)))) return
      throw new Error(`The store did not answer within ${storePatience} ms`)
    } catch (error) {
      if (error instanceof Fault) throw error
      // If the store is unavailable, requests are admitted.
      this.log.error({err: error}, 'Requests are not counted: RATE_LIMIT does not hold')
    }
  }

  /** Aborts the signal when the caller hangs up. */
  #watch(): void {
    // The response's `close`, not the request's, which is emitted as soon as the body has been read.
    this.#response.once('close', () => {
      if (!this.#response.writableFinished) this.lazySignal.abort(hungUp())
    })
    if (this.#response.destroyed) this.lazySignal.abort(hungUp())
    // The connection has ended, so nobody would read the response, and no work starts.
    if (!this.#request.socket.writable)
      this.fail(new Fault('CANCELLED', 'The connection ended before the request began'))
    this.#response.on('error', () => {})
  }

  /** @throws {Fault} for a malformed head, after which the connection ends too, because the end of the request may be unknown */
  #checkHead(): void {
    this.responder.isLast = true
    checkHead(this.#request)
    this.responder.isLast = false
  }

  #startClock(): void {
    if (this.lazySignal.reason) throw this.lazySignal.reason
    if (isStopping()) throw new Fault('UNAVAILABLE', 'The instance is stopping: try again')
    const timeout = Math.min(callerTimeout(this.headers), this.#serving.config.requestTimeout - timeToAnswer)
    this.deadline = Date.now() + timeout
    this.#timer = setTimeout(() => {
      this.lazySignal.abort(
        latenessOf(this.signal) ?? new Fault('DEADLINE_EXCEEDED', `No answer within ${timeout / 1000} s`),
      )
    }, timeout)
  }

  /** As `within(this.signal, this.track(work))`, without a listener for each wait: a stream waits for each of its chunks. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const onAbort = () => reject(this.lazySignal.reason)
      const settled = () => {
        this.#work.delete(work)
        this.lazySignal.unlisten(onAbort)
      }
      this.#work.add(work)
      work.then(
        (value) => {
          settled()
          resolve(value)
        },
        (error) => {
          settled()
          reject(error)
        },
      )
      if (this.lazySignal.reason) onAbort()
      else this.lazySignal.listen(onAbort)
    })
  }

  /** Responds with `fault`, or resets a response that has begun and is incomplete. Returns `fault`. */
  async #fail(fault: Fault): Promise<Fault> {
    await this.close(fault)
    this.#fault = fault
    if (this.responder.begun) await this.finish({status: this.#status, bodySize: this.responder.bytes})
    if (this.responder.done) return fault
    if (this.responder.begun) this.responder.cut()
    else await send({...(await this.#failureReply(fault)), trailers: this.failureTrailers}, this)
    return fault
  }

  async #failureReply(fault: Fault): Promise<Reply> {
    try {
      if (this.#failure) return await this.#failure(fault)
    } catch (error) {
      this.log.error({err: error}, 'A failure cannot be shown as its protocol has it')
    }
    return failureReply(fault, this.#errorShape)
  }

  async close(reason: Fault): Promise<void> {
    clearTimeout(this.#timer)
    this.lazySignal.abort(reason)
    if (this.#work.size > 0 && !(await atMost(abortGrace, this.#ended()))) {
      this.log.error(`${this.#work.size} pieces of work did not end when their request did`)
      this.#work.clear()
    }
  }

  get isObserved(): boolean {
    return this.span !== undefined || this.#serving.flush !== undefined
  }

  async finish(ending: Ending): Promise<void> {
    this.#endSpan(ending)
    const {flush} = this.#serving
    if (!flush || this.#isFlushed) return
    this.#isFlushed = true
    await flushed(flush, this.deadline, this.log)
  }

  #endSpan({status, bodySize, fault = this.#fault}: Ending): void {
    if (!this.span) return
    const isHungUp = this.responder.gone && !this.responder.begun
    this.span.end({
      status: isHungUp ? this.#status : status,
      bodySize: isHungUp ? 0 : bodySize,
      ...(fault && {code: fault.code}),
      isFailure: status >= 500 || (fault !== undefined && httpStatusOf(fault) >= 500),
    })
  }

  /** The status that has been sent; undefined if nothing has. */
  get #status(): number {
    return this.responder.begun ? this.#response.statusCode : 499
  }

  async #ended(): Promise<void> {
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
  }

  #report(fault: Fault | undefined): void {
    const {level, ...record} = requestRecord(this.#request, {
      status: this.#status,
      fault,
      path: this.path,
      query: this.rawQuery,
      bytes: this.responder.bytes,
      latency: performance.now() - this.#began,
      trustedHops: this.#serving.config.trustedHops,
      serviceContext: this.#serving.config.serviceContext,
    })
    this.log[level]({...record.fields, ...this.#notes}, record.message)
  }
}

function hungUp(): Fault {
  return new Fault('CANCELLED', 'The caller hung up')
}

/** The caller's `x-request-id` if it is valid, or a new one. */
function requestId(header: string | string[] | undefined): string {
  return typeof header === 'string' && /^[\x21-\x7e]{1,128}$/.test(header) ? header : randomUUID()
}

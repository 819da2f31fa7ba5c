import type {Backend} from '../../core/config.ts'
import {Fault} from '../../core/fault.ts'
import {outside} from '../../core/outside.ts'
import {telemetry} from '../../core/telemetry/telemetry.ts'
import {within} from '../../core/waiting.ts'
import type {Call, CallPool} from '../call.ts'
import {RetryBudget} from '../calls/retry-budget.ts'
import {faultOf} from '../status.ts'
import {causes} from './causes.ts'
import {Opening, type OpeningListener} from './connecting.ts'
import {type Connection, caughtUp, streamsWithin} from './connection.ts'

/** Limit for the connections to one backend. */
const mostConnections = 50
/** The number of these connections that only unary calls may use. */
const unaryConnections = 5
/** How long calls wait for a backend that was reachable before, in ms since the first failure. */
const grace = 2500
/** Back-off between attempts to connect: the first pause, doubled each time, and the longest one, in ms. */
const [firstPause, longestPause] = [25, 400]
/** Limit for the pause between two attempts to reach a silent backend, in ms. */
const probePause = 5000
/** Tolerance between the wall clock and timers, in ms. */
const tolerance = 5
const longestTimer = 2 ** 31 - 1

/** Makes the error of a call that gets no connection. */
type Failure = (call: Call) => Fault | Promise<Fault>

/** A period in which no connection can be made. */
interface Outage {
  /** Time of the first failed attempt, in ms since the epoch. */
  readonly since: number
  readonly attempts: number
  /** Earliest time of the next attempt, in ms since the epoch. */
  readonly nextAttempt: number
  readonly failure: Failure
  /** Whether calls fail at once. */
  readonly isKnown: boolean
}

/** A call that waits for a connection. */
interface Waiter {
  readonly streaming: boolean
  connection?: Connection
  settle(outcome: Connection | Failure): void
}

/**
 * The connections to one backend: one while it has room for all calls, more when it is full.
 *
 * A call goes to the first connection that is alive and has a free stream. So the others drain, and are closed by the request
 * that finds them unused. If there is none, the call waits here, not in HTTP/2, so that it never runs after its caller has
 * given up. Checks and attempts to connect run only while calls wait: no timer runs between requests.
 */
export class Pool implements CallPool {
  readonly budget = new RetryBudget()
  readonly #backend: Backend
  readonly #connectTimeout: number
  #connections: readonly Connection[] = []
  readonly #openings = new Set<Opening>()
  readonly #unary = new Set<Waiter>()
  readonly #streaming = new Set<Waiter>()
  /** The stream limit of the newest connection; undefined before the first one. */
  #cap: number | undefined
  #outage: Outage | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(backend: Backend, {connectTimeout}: {connectTimeout: number}) {
    this.#backend = backend
    this.#connectTimeout = connectTimeout
  }

  /** The connections that take calls. */
  get connections(): readonly Connection[] {
    return this.#connections
  }

  /** The number of calls that wait for a connection. */
  get waiting(): number {
    return this.#unary.size + this.#streaming.size
  }

  /** Starts to connect, unless that has started already: the first call can fetch its ID token at the same time. */
  prepare(): void {
    if (this.#connections.length === 0 && this.#openings.size === 0 && !this.#outage) this.#open()
  }

  /** A connection that is ready now, for a new call. This is the usual case, and cheap. */
  take(streaming: boolean): Connection | undefined {
    if ((streaming ? this.#streaming : this.#unary).size > 0) return undefined
    const connection = this.#choose(streaming, Date.now())
    connection?.begin(streaming)
    return connection
  }

  /**
   * Waits for a connection for `call`.
   * @throws {Fault} UNAVAILABLE when the backend cannot be reached, or not by the connect deadline; DEADLINE_EXCEEDED at the
   * call's own deadline; the signal's reason
   */
  async wait(call: Call, streaming: boolean): Promise<Connection> {
    const began = Date.now()
    if (this.#outage && this.#failsAtOnce(began)) throw await this.#outage.failure(call)
    const queue = streaming ? this.#streaming : this.#unary
    const outcome = Promise.withResolvers<Connection | Failure>()
    const waiter: Waiter = {streaming, settle: outcome.resolve}
    const timer = this.#expiry(call, began, waiter)
    queue.add(waiter)
    this.#serve()
    try {
      const result = await within(call.life.signal, outcome.promise)
      if (typeof result === 'function') throw await result(call)
      return result
    } catch (error) {
      if (waiter.connection) this.release(waiter.connection, streaming)
      this.#tell(error, call, began)
      throw error
    } finally {
      clearTimeout(timer.current)
      queue.delete(waiter)
      if (this.waiting === 0) this.#rest()
    }
  }

  /** Ends the use of `connection` by a call. */
  release(connection: Connection, streaming: boolean): void {
    connection.end(streaming)
    if (this.waiting > 0) this.#serve()
    else if (this.#connections.length > 1) this.#giveBack()
  }

  /** Closes the connections. Calls in flight go on; waiting calls fail. */
  close(): void {
    const failure = () => new Fault('UNAVAILABLE', 'The instance is shutting down')
    this.#settleAll(failure)
    for (const opening of this.#openings) opening.giveUp()
    this.#openings.clear()
    for (const connection of this.#connections) connection.close()
    this.#rest()
  }

  /** Chooses the first suitable connection, so that the others drain. */
  #choose(streaming: boolean, now: number): Connection | undefined {
    let others = mostConnections - unaryConnections
    for (const connection of this.#connections) {
      // The last ones are for unary calls, even if a connection takes only one call.
      if (streaming && others-- === 0) return undefined
      if (connection.isTrusted(now) && connection.room(streaming) > 0) return connection
    }
    return undefined
  }

  /** Gives connections to waiting calls, and opens as many as are missing. */
  #serve(): void {
    const now = Date.now()
    for (const queue of [this.#unary, this.#streaming]) {
      for (const waiter of queue) {
        const connection = this.#choose(waiter.streaming, now)
        if (!connection) break
        queue.delete(waiter)
        connection.begin(waiter.streaming)
        waiter.connection = connection
        waiter.settle(connection)
      }
    }
    if (this.waiting > 0) this.#provide(now)
    else this.#rest()
  }

  #provide(now: number): void {
    let all = this.waiting
    let streaming = this.#streaming.size
    for (const connection of this.#connections) {
      if (all <= 0 && streaming <= 0) break
      if (connection.isTrusted(now) || connection.room(this.#unary.size === 0) === 0) continue
      connection.examine(now)
      if (connection.isLate) continue
      all -= connection.room(false)
      streaming -= connection.room(true)
    }
    const lacking = this.#lacking(all, streaming) - this.#freshOpenings(now)
    const next = this.#outage?.nextAttempt ?? 0
    if (now >= next) for (let more = lacking; more > 0; more--) this.#open()
    this.#wakeAt(Math.min(lacking > 0 && now < next ? next : Number.POSITIVE_INFINITY, this.#nextLateness()), now)
  }

  /** The number of missing connections for `all` waiting calls, `streaming` of which are streaming calls. */
  #lacking(all: number, streaming: number): number {
    if (all <= 0 && streaming <= 0) return 0
    const cap = this.#cap
    // The stream limit is known once the first connection is open.
    if (!cap) return this.#connections.length > 0 ? 0 : 1
    const [forAll, forStreams] = [Math.ceil(all / cap), Math.ceil(streaming / streamsWithin(cap))]
    const most = this.#unary.size > 0 ? mostConnections : mostConnections - unaryConnections
    return Math.min(Math.max(forAll, forStreams), most - this.#connections.length)
  }

  /** The number of attempts to connect that are within their timeout. Gives up the others. */
  #freshOpenings(now: number): number {
    for (const opening of this.#openings) if (now - opening.since >= this.#connectTimeout) this.#giveUp(opening)
    return this.#openings.size
  }

  #nextLateness(): number {
    return Math.min(...this.#connections.map(({lateAt}) => lateAt))
  }

  /** Sets the one timer, which runs only while calls wait. */
  #wakeAt(when: number, now: number): void {
    clearTimeout(this.#timer)
    if (when === Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(
      async () => {
        await caughtUp()
        const now = Date.now()
        for (const connection of this.#connections) connection.checkLateness(now)
        this.#serve()
      },
      Math.max(0, when - now),
    )
  }

  /** No call waits any more: ends the timer and the attempts that were made for waiting calls. */
  #rest(): void {
    clearTimeout(this.#timer)
    if (this.#connections.some((connection) => !connection.isLate)) {
      for (const opening of this.#openings) this.#giveUp(opening)
    }
  }

  #open(): void {
    const listener: OpeningListener = {
      onOpen: (opening, connection) => this.#opened(opening, connection),
      onFailure: (opening, end) => this.#failed(opening, (call) => faultOf(end, call)),
      onChange: (connection) => this.#changed(connection),
      onGone: (connection) => {
        this.#connections = this.#connections.filter((other) => other !== connection)
        if (this.waiting > 0) this.#serve()
      },
    }
    this.#openings.add(outside(() => new Opening(this.#backend, listener)))
  }

  #giveUp(opening: Opening): void {
    opening.giveUp()
    this.#openings.delete(opening)
  }

  #opened(opening: Opening, connection: Connection): void {
    this.#openings.delete(opening)
    this.#count()
    this.#outage = undefined
    this.#cap = connection.cap
    const slower = this.#connections.filter(({isLate}) => isLate)
    this.#connections = [...this.#connections, connection]
    for (const connection of slower) connection.beSlower()
    this.#serve()
    if (this.waiting === 0 && this.#connections.length > 1) this.#giveBack()
  }

  #count(): void {
    const attributes = {'server.address': this.#backend.host}
    telemetry()?.count('connection', attributes)
    const isAgain = this.#cap !== undefined && this.#connections.every(({isLate}) => isLate)
    if (isAgain) telemetry()?.count('reconnect', attributes)
  }

  #changed(connection: Connection): void {
    this.#cap = connection.cap
    // The connection is alive.
    if (this.#outage?.isKnown) this.#outage = undefined
    this.#serve()
  }

  #failed(opening: Opening, failure: Failure, {wasSilent = false} = {}): void {
    this.#openings.delete(opening)
    const now = Date.now()
    const {since, attempts} = this.#outage ?? {since: now, attempts: 0}
    const wasThere = this.#cap !== undefined
    const isOnly = this.#openings.size === 0 && this.#connections.every(({isLate}) => isLate)
    const isKnown = isOnly && (!wasThere || now - since >= grace)
    // After a fast failure the next call may try again at once. After a timeout it may not: it would wait as long.
    const known = wasSilent ? Math.min(now - opening.since, probePause) : 0
    const grown = Math.min(firstPause * 2 ** attempts, longestPause) * (0.75 + Math.random() / 2)
    const nextAttempt = now + (isKnown ? known : grown)
    this.#outage = {since, attempts: attempts + 1, nextAttempt, failure, isKnown}
    if (isKnown) this.#settleAll(failure)
    else this.#serve()
  }

  /** Whether calls fail at once. One call at a time tries whether the backend is back. */
  #failsAtOnce(now: number): boolean {
    if (!this.#outage?.isKnown) return false
    return this.#freshOpenings(now) > 0 || now < this.#outage.nextAttempt
  }

  #settleAll(failure: Failure): void {
    for (const queue of [this.#unary, this.#streaming]) {
      for (const waiter of queue) waiter.settle(failure)
      queue.clear()
    }
  }

  /** Limits the wait of a call: to the connect timeout if there is no connection at all, else to the call's deadline. */
  #expiry(call: Call, began: number, waiter: Waiter): {current: NodeJS.Timeout | undefined} {
    const timer: {current: NodeJS.Timeout | undefined} = {current: undefined}
    const left = call.deadline - began
    const atDeadline = () => waiter.settle((call) => this.#tooLate(call, began))
    const atLimit = () => {
      if (this.#connections.some(({isLate}) => !isLate)) {
        const more = call.deadline - Date.now()
        if (more <= longestTimer) timer.current = setTimeout(atDeadline, Math.max(0, more))
        return
      }
      const now = Date.now()
      for (const opening of this.#openings) {
        if (now - opening.since < this.#connectTimeout - tolerance) continue
        this.#giveUp(opening)
        this.#failed(opening, (call) => this.#unreachable(call), {wasSilent: true})
      }
      waiter.settle((call) => this.#unreachable(call))
    }
    const isOwn = left < this.#connectTimeout
    timer.current = setTimeout(isOwn ? atDeadline : atLimit, Math.max(0, isOwn ? left : this.#connectTimeout))
    return timer
  }

  #tooLate(call: Call, began: number): Fault {
    return new Fault('DEADLINE_EXCEEDED', `${nameOf(call)} did not answer in time`, {hint: this.#waited(call, began)})
  }

  #unreachable(call: Call): Fault {
    const limit = `${this.#connectTimeout / 1000} s`
    return new Fault('UNAVAILABLE', `The backend of ${nameOf(call)} cannot be reached: no connection within ${limit}`, {
      reason: 'BACKEND_CONNECT_TIMEOUT',
      retryAfter: 1,
      hint: `no connection to ${call.backend.url} within the connect deadline of ${limit}, BACKEND_CONNECT_TIMEOUT_SECONDS: ${causes.SILENT.change()}`,
    })
  }

  /** Logs why the call waited: the response to a request at its deadline cannot say it. */
  #tell(error: unknown, call: Call, began: number): void {
    if (error === call.life.signal.reason && Fault.from(error).code === 'DEADLINE_EXCEEDED') {
      call.life.log.warn({backend: call.backend.url}, this.#waited(call, began))
    }
  }

  #waited({backend}: Call, began: number): string {
    const time = `after ${(Date.now() - began) / 1000} s`
    return this.#connections.length > 0
      ? `Still no free stream to ${backend.url} ${time}: its ${this.#connections.length} connections are full`
      : `Still not connected to ${backend.url} ${time}`
  }

  /** Closes unused connections while the remaining ones would be at most half full. */
  #giveBack(): void {
    let streams = 0
    let room = 0
    for (const connection of this.#connections) {
      streams += connection.streams
      room += connection.cap
    }
    for (const connection of this.#connections.slice(1).reverse()) {
      if (connection.streams > 0) continue
      room -= connection.cap
      if (streams > room / 2) return
      connection.close()
    }
  }
}

function nameOf({method}: Call): string {
  return `${method.parent.typeName}.${method.name}`
}

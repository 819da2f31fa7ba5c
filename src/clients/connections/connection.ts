import type {ClientHttp2Session} from 'node:http2'
import type {Socket} from 'node:net'
import {type Channel, connectivityState} from '@grpc/grpc-js'
import {sessionOf} from './grpc-internals.ts'
import {type Goaway, type LossName, lossBy, lossOf} from './losses.ts'

/** A connection that received a byte at most this long ago is alive, in ms. */
const certain = 50
/** After a silence below this, reading what has arrived is enough; after a longer one the peer is pinged, in ms. */
const likely = 100
/** After a silence of this length a new connection is opened at the same time as the ping, in ms. */
const doubtful = 4 * 60_000
/** Minimum and maximum time for the peer's answer before a new connection is opened, in ms. */
const [leastPatience, mostPatience] = [150, 400]
/** A connection with calls in flight is pinged after this silence, in ms. */
const silenceInCall = 5000
/** Timeout for the answer to that ping, in ms. Then the connection is dropped with its calls. */
const lastPatience = 2000
/** Limit for PINGs between two messages of the server: gRPC servers close a connection that sends more. */
const pingsWithoutData = 2
/** The limit for streams when the peer sends none: that of Google's front ends. */
const usualCap = 100
/** A higher limit means no limit. */
const mostStreams = 2 ** 20

/** Events of a connection, for its pool. */
export interface ConnectionListener {
  /** The connection may take calls again. */
  onChange(connection: Connection): void
  /** The connection takes no more calls. Calls in flight may still succeed. */
  onGone(connection: Connection): void
}

/** A running check whether a connection is alive. */
interface Examination {
  readonly since: number
  /** Whether a new connection may be opened before the check has ended. */
  late: boolean
}

/**
 * One connection to a backend: a channel of grpc-js with its own HTTP/2 session. It knows the peer's limit
 * for streams, its open streams, and the time of the last byte, by wall clock, because other clocks stop in a frozen instance.
 */
export class Connection {
  readonly channel: Channel
  /** Time of the last received byte, in ms since the epoch. */
  heard = Date.now()
  /** Calls in flight. */
  streams = 0
  /** The last stream id in the peer's GOAWAY: higher ones were not processed. */
  lastStream: number | undefined
  /** Streaming calls in flight: they may be idle for any time. */
  #standing = 0
  /** When all received data had last been read, in ms since the epoch. */
  #caughtUp = 0
  #examination: Examination | undefined
  /** PINGs since the peer last sent part of a call. */
  #pings = 0
  #roundTrip: number
  #gone = false
  #isSilent = false
  #goaway: Goaway | undefined
  #error: Error | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #session: ClientHttp2Session | undefined
  readonly #sockets: ReadonlySet<Socket>
  readonly #listener: ConnectionListener

  /**
   * @param channel a connected one
   * @param options.took the duration of the attempt to connect, in ms
   */
  constructor(
    channel: Channel,
    {sockets, took, listener}: {sockets: ReadonlySet<Socket>; took: number; listener: ConnectionListener},
  ) {
    this.channel = channel
    this.#sockets = sockets
    this.#listener = listener
    this.#roundTrip = took / 2
    this.#session = sessionOf(channel)
    this.#session?.on('goaway', (code, lastStream, data) => {
      this.lastStream = lastStream
      this.#goaway ??= {code, data: String(data ?? '')}
    })
    this.#session?.on('error', (error) => {
      this.#error ??= error
    })
    channel.watchConnectivityState(connectivityState.READY, Number.POSITIVE_INFINITY, () => this.close())
  }

  /**
   * The peer's limit for concurrent streams. Read each time: grpc-js removes all listeners of a session, and Node reports new
   * settings no more.
   */
  get cap(): number {
    return Math.min(this.#session?.remoteSettings.maxConcurrentStreams ?? usualCap, mostStreams)
  }

  /** The number of free streams. Streaming calls leave a tenth of all streams to unary calls. */
  room(streaming: boolean): number {
    const {cap} = this
    const free = cap - this.streams
    return Math.max(0, streaming ? Math.min(free, streamsWithin(cap) - this.#standing) : free)
  }

  /** Whether a call may use the connection without a check. */
  isTrusted(now: number): boolean {
    const silence = Math.abs(now - this.heard)
    return silence < certain || (silence < likely && Math.abs(now - this.#caughtUp) < certain)
  }

  /** Whether the check takes so long that a new connection should be opened. */
  get isLate(): boolean {
    return this.#examination?.late === true
  }

  /** When `isLate` may become true, in ms since the epoch. */
  get lateAt(): number {
    const {since, late} = this.#examination ?? {}
    if (since === undefined || late) return Number.POSITIVE_INFINITY
    return since + Math.min(Math.max(leastPatience, 2 * this.#roundTrip), mostPatience)
  }

  /** Whether the connection is closed or closing. */
  get hasEnded(): boolean {
    return this.#gone || this.#session?.closed === true || this.#session?.destroyed === true
  }

  /** The error code of the peer's GOAWAY; undefined when there was none. */
  get goawayCode(): number | undefined {
    return this.#goaway?.code
  }

  /** Why it broke off, as far as known; undefined while it is open. */
  get loss(): LossName | undefined {
    if (this.#isSilent) return 'SILENT'
    if (this.#goaway) return lossBy(this.#goaway)
    if (this.#error) return lossOf(this.#error)
    return this.hasEnded ? 'CLOSED' : undefined
  }

  begin(streaming: boolean): void {
    this.streams++
    if (streaming) this.#standing++
    this.#timer ??= setTimeout(() => this.#lookAfter(), silenceInCall)
  }

  end(streaming: boolean): void {
    this.streams--
    if (streaming) this.#standing--
    if (this.streams > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.isLate) this.drop()
  }

  /** Records that the peer has sent part of a call. */
  hear(): void {
    this.heard = Date.now()
    this.#pings = 0
    if (!this.#examination) return
    this.#examination = undefined
    this.#listener.onChange(this)
  }

  /**
   * Starts a check whether the connection is alive, and reports to the listener. After a short silence, one turn of the event
   * loop is enough: it reads a FIN or RST that has arrived. After a long one the peer is pinged.
   */
  examine(now: number): void {
    if (this.#examination) return
    const silence = Math.abs(now - this.heard)
    const examination = {since: now, late: silence >= likely && (silence >= doubtful || !this.#session)}
    this.#examination = examination
    const finish = (alive: boolean) => {
      if (this.#examination !== examination) return
      this.#examination = undefined
      if (alive && !this.#gone) this.#listener.onChange(this)
      if (!alive) this.drop()
    }
    if (silence < likely) {
      caughtUp().then(() => {
        this.#caughtUp = Date.now()
        finish(true)
      })
    } else {
      this.#ask((alive) => {
        if (alive) this.heard = Date.now()
        finish(alive)
      })
    }
  }

  /** Marks a check that has taken too long, so that a new connection is opened. */
  checkLateness(now: number): void {
    if (this.#examination && now >= this.lateAt) this.#examination.late = true
  }

  /** A new connection was faster than the check: drops this one if it has no calls, else gives it a little longer. */
  beSlower(): void {
    if (this.streams === 0) this.drop()
    else this.#giveUpUnlessHeard()
  }

  /** Takes no more calls, and ends after the last call in flight. */
  close(): void {
    if (this.#gone) return
    this.#gone = true
    this.channel.close()
    this.#listener.onGone(this)
  }

  /** Ends at once, together with its calls. */
  drop(): void {
    this.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /**
   * Pings the peer. Once the peer would treat one more PING as abuse, empty SETTINGS do the same.
   */
  #ask(answer: (alive: boolean) => void): void {
    const session = this.#session
    if (!session) return
    const onAnswer = (error: Error | null, duration: number) => {
      if (!error) this.#roundTrip = Math.min(this.#roundTrip, duration)
      answer(!error)
    }
    try {
      if (this.#pings++ < pingsWithoutData) {
        session.ping(onAnswer)
      } else session.settings({}, (error, _settings, duration) => onAnswer(error, duration))
    } catch {
      // The session has ended.
      answer(false)
    }
  }

  /** Pings a peer that is silent for long while calls are in flight, so that they do not wait for ever. */
  #lookAfter(): void {
    this.#timer = undefined
    const silence = Math.abs(Date.now() - this.heard)
    if (silence >= silenceInCall) {
      this.examine(Date.now())
      this.#giveUpUnlessHeard()
    } else this.#timer = setTimeout(() => this.#lookAfter(), silenceInCall - silence)
  }

  #giveUpUnlessHeard(): void {
    const examination = this.#examination
    clearTimeout(this.#timer)
    this.#timer = setTimeout(async () => {
      await caughtUp()
      clearTimeout(this.#timer)
      this.#timer = undefined
      if (examination && this.#examination === examination && this.heard <= examination.since) {
        this.#isSilent = true
        this.drop()
      } else if (this.streams > 0) this.#timer = setTimeout(() => this.#lookAfter(), silenceInCall)
    }, lastPatience)
  }
}

/** Limit for streaming calls among `cap` streams: they may be idle, and must leave room for unary calls. */
export function streamsWithin(cap: number): number {
  return cap < 2 ? cap : cap - Math.ceil(cap / 10)
}

/**
 * Resolves when all received data has been read. After a freeze, overdue timers run before any socket is read: data that a
 * timer misses may have arrived.
 */
export function caughtUp(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

import type {ClientHttp2Session} from 'node:http2'
import type {Socket} from 'node:net'
import {type Channel, connectivityState} from '@grpc/grpc-js'
import {sessionOf} from './grpc-internals.ts'

/** For so long after its last byte a connection is known to live, in ms. */
const certain = 50
/** For so long it is enough to read what has come meanwhile, in ms; after that its peer is asked for a sign of life. */
const likely = 500
/** After so long a silence a fresh connection is begun beside the question, in ms. */
const doubtful = 4 * 60_000
/** The least and the most that a peer gets for its answer before a fresh connection is begun, in ms. */
const [leastPatience, mostPatience] = [150, 400]
/** How long a connection that has calls in flight may be silent before its peer is asked, in ms. */
const silenceInCall = 5000
/** How long it then has for an answer before it is given up with its calls, in ms. */
const lastPatience = 2000
/** How many PINGs a server takes for which it sends no data: gRPC servers close a connection that sends more. */
const pingsWithoutData = 2
/** Streams of a connection whose peer tells no limit: those of Google's front ends. */
const usualCap = 100
/** A limit above this is none. */
const mostStreams = 2 ** 20

/** What its pool hears of a connection. */
export interface ConnectionListener {
  /** It may take calls again. */
  onChange(connection: Connection): void
  /** It takes no more calls; those in flight may still end well. */
  onGone(connection: Connection): void
}

/** How it is found out whether a connection lives. */
interface Examination {
  readonly since: number
  /** Whether a fresh connection need wait no longer for the outcome. */
  late: boolean
}

/**
 * One connection to a backend: a channel of grpc-js with an HTTP/2 session of its own. It knows how many streams the peer
 * takes, how many it has, and when the peer was last heard by wall clock: other clocks stand still while the instance is frozen.
 */
export class Connection {
  readonly channel: Channel
  /** When the last byte came, in ms since the epoch. */
  heard = Date.now()
  /** Calls in flight. */
  streams = 0
  /** The last stream that the peer's GOAWAY says it has looked at. */
  lastStream: number | undefined
  /** Calls in flight that are no unary ones: they may stand still for as long as they like. */
  #standing = 0
  /** When all that had come was read, in ms since the epoch. */
  #caughtUp = 0
  #examination: Examination | undefined
  /** PINGs since the peer last sent anything of a call. */
  #pings = 0
  #roundTrip: number
  #gone = false
  #timer: NodeJS.Timeout | undefined
  readonly #session: ClientHttp2Session | undefined
  readonly #sockets: ReadonlySet<Socket>
  readonly #listener: ConnectionListener

  /**
   * @param channel connected
   * @param options.took how long it took to connect, in ms
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
    this.#session?.on('goaway', (_code, lastStream) => {
      this.lastStream = lastStream
    })
    channel.watchConnectivityState(connectivityState.READY, Number.POSITIVE_INFINITY, () => this.close())
  }

  /**
   * The most streams that the peer takes at once. Read anew each time: once grpc-js has removed all listeners of a session,
   * Node tells nobody of new settings.
   */
  get cap(): number {
    return Math.min(this.#session?.remoteSettings.maxConcurrentStreams ?? usualCap, mostStreams)
  }

  /** How many more calls it takes. Streams leave a tenth of them to unary calls. */
  room(streaming: boolean): number {
    const {cap} = this
    const free = cap - this.streams
    return Math.max(0, streaming ? Math.min(free, streamsWithin(cap) - this.#standing) : free)
  }

  /** Whether a call may be entrusted to it without a further look. */
  isTrusted(now: number): boolean {
    const silence = Math.abs(now - this.heard)
    return silence < certain || (silence < likely && Math.abs(now - this.#caughtUp) < certain)
  }

  /** Whether it takes too long to find out if it lives: a fresh connection is begun. */
  get isLate(): boolean {
    return this.#examination?.late === true
  }

  /** When isLate should be asked for, in ms since the epoch. */
  get lateAt(): number {
    const {since, late} = this.#examination ?? {}
    if (since === undefined || late) return Number.POSITIVE_INFINITY
    return since + Math.min(Math.max(leastPatience, 2 * this.#roundTrip), mostPatience)
  }

  /** Whether it is closed or closing. */
  get hasEnded(): boolean {
    return this.#gone || this.#session?.closed === true || this.#session?.destroyed === true
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

  /** The peer has sent something of a call. */
  hear(): void {
    this.heard = Date.now()
    this.#pings = 0
    if (!this.#examination) return
    this.#examination = undefined
    this.#listener.onChange(this)
  }

  /**
   * Begins to find out whether it lives; its listener is told. After a short silence one turn of the event loop is
   * enough, so that an end that has come is read. After a long one its peer is asked.
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

  /** A fresh connection need no longer wait for the outcome of the examination, if it has had its time. */
  checkLateness(now: number): void {
    if (this.#examination && now >= this.lateAt) this.#examination.late = true
  }

  /** It was slower than a fresh connection: without calls it is dropped, else it has a little longer. */
  beSlower(): void {
    if (this.streams === 0) this.drop()
    else this.#giveUpUnlessHeard()
  }

  /** Takes no more calls, and ends when those in flight have. */
  close(): void {
    if (this.#gone) return
    this.#gone = true
    this.channel.close()
    this.#listener.onGone(this)
  }

  /** Ends at once, with its calls. */
  drop(): void {
    this.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /**
   * Asks the peer for a sign of life: by PING, or by SETTINGS that change nothing, once the peer would take one PING more
   * for an abuse.
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

  /** Looks after the calls in flight: a peer that is silent for long is asked, so that they do not wait for ever. */
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
      if (examination && this.#examination === examination && this.heard <= examination.since) this.drop()
      else if (this.streams > 0) this.#timer = setTimeout(() => this.#lookAfter(), silenceInCall)
    }, lastPatience)
  }
}

/** How many of `cap` streams may be other than unary: those may stand still, and must not take the last place. */
export function streamsWithin(cap: number): number {
  return cap < 2 ? cap : cap - Math.ceil(cap / 10)
}

/**
 * Resolves when all that had come has been read. After a freeze, timers that are overdue run before any socket is read: what
 * one finds missing may be there.
 */
export function caughtUp(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

import type {Http2Server, ServerHttp2Session} from 'node:http2'
import type {AddressInfo, Socket} from 'node:net'
import {credentials, type Metadata, Server, ServerCredentials} from '@grpc/grpc-js'
import {Health as HealthService} from '../../src/gen/health/v1/health_pb.js'
import {Iam, refuse} from '../identity/iam.ts'
import type {Authority} from '../identity/id-tokens.ts'
import {Open} from '../open.ts'
import {chat} from '../services/chat.ts'
import {Ping} from '../services/ping.ts'
import {Repo} from '../services/repo.ts'
import {routeGuide} from '../services/routeguide/route-guide.ts'
import {search} from '../services/search.ts'
import {users} from '../services/users.ts'
import {Health} from './health.ts'
import {http2ServerOf} from './http2-server.ts'
import type {Implementation, ImplementOptions} from './implement.ts'
import {type CallRecord, limitTime, recordCalls, resetIsNoEnd, trackCalls} from './interceptors.ts'
import {addReflection} from './reflection.ts'
import {type Upstream, UpstreamClient} from './upstream.ts'

export interface BackendOptions {
  /** 0: any that is free. */
  port?: number
  host?: string
  /** PEM. Left out, the backend speaks HTTP/2 in the clear. */
  tls?: {key: string; cert: string}
  /** Whose ID tokens open the door: a metadata server. Left out, the door is open, as to a container on Cloud Run. */
  iam?: Authority | undefined
  /** The audience of those tokens; left out, the backend's own URL. */
  audience?: string | undefined
  /** The e-mail addresses that have roles/run.invoker; left out, all have. */
  invokers?: readonly string[]
  /** HTTP/2 window of a stream and of a connection, in bytes; 4 MiB unless set. 65535 is Node's own. */
  window?: number
  /** How many calls at a time a connection takes; 100 unless set, as at Google's front ends. */
  maxStreams?: number
  /** Time limits in ms by method, as in `/ping.PingService/Send`; `*` is for all others. */
  limits?: Record<string, number>
  /** Where SendUpstream asks; left out, the backend calls itself. */
  upstream?: Upstream | undefined
  /** Also told of every call that is over. */
  onCall?: (record: CallRecord) => void
  /** Whether Repo computes SHA-256. */
  sha256?: boolean
  /** `false`: it has no grpc.health.v1, as most backends have none. */
  healthService?: boolean
  /** Services of the caller's own. */
  services?: readonly Service[]
}

/** A service that a backend can have beside its own. */
export interface Service {
  implement(options: ImplementOptions): Implementation
}

/** How many calls and refusals are remembered, at least. */
const remembered = 1000

/** How long close() waits for calls in flight unless told otherwise, in ms. */
const grace = 1000

/** The gRPC services of the local stack, listening, and a test's hold on them. */
export class Backend {
  readonly ping: Ping
  readonly repo: Repo
  readonly health: Health
  /** undefined where there is no check. */
  readonly iam: Iam | undefined
  /** Every call that is over, the latest last. */
  readonly log: CallRecord[] = []
  readonly #server: Server
  readonly #http2: Http2Server
  readonly #secure: boolean
  #port = 0
  readonly #upstream: UpstreamClient
  /** Calls, and runs of handlers, by the metadata of the call. */
  readonly #calls = new Open<Metadata>()
  readonly #runs = new Open<Metadata>()
  readonly #sessions = new Open<ServerHttp2Session>()
  readonly #sockets = new Open<Socket>()

  /** Use startBackend(). */
  constructor(options: BackendOptions) {
    const {limits = {}, iam} = options
    this.#server = new Server({
      'grpc.enable_channelz': 0,
      'grpc.max_concurrent_streams': options.maxStreams ?? 100,
      interceptors: [
        resetIsNoEnd,
        recordCalls((record) => {
          remember(this.log, record)
          options.onCall?.(record)
        }),
        trackCalls(this.#calls),
        limitTime((method) => limits[method] ?? limits['*']),
      ],
    })
    this.iam = iam && new Iam({authority: iam, audiences: [], invokers: options.invokers})
    this.#secure = options.tls !== undefined
    this.#upstream = new UpstreamClient(() => options.upstream ?? this.#itself(options.tls?.cert))
    this.ping = new Ping(this.#upstream.ask)
    this.repo = new Repo({sha256: options.sha256 ?? false})
    const services = [this.ping, this.repo, search, users, chat, routeGuide, ...(options.services ?? [])]
    this.health = this.#addServices(services, options.healthService ?? true)
    this.#http2 = this.#createHttp2(options)
  }

  /** `http://127.0.0.1:PORT`, or `https://localhost:PORT`. */
  get url(): string {
    return `${this.#secure ? 'https' : 'http'}://${this.target}`
  }

  /** `127.0.0.1:PORT`, or `localhost:PORT` where the name stands in a certificate. */
  get target(): string {
    return `${this.#secure ? 'localhost' : '127.0.0.1'}:${this.port}`
  }

  get port(): number {
    return this.#port
  }

  /** How many calls are not over, counting those whose handler goes on after the call. */
  openCalls(): number {
    return new Set([...this.#calls, ...this.#runs]).size
  }

  /** Resolves when no call is open and no handler runs. */
  async idle(): Promise<void> {
    while (this.openCalls()) await Promise.all([this.#calls.idle(), this.#runs.idle()])
  }

  /** How many HTTP/2 sessions are open. */
  connections(): number {
    return this.#sessions.size
  }

  /** Breaks every connection, with the calls on them. */
  dropConnections(): void {
    for (const session of this.#sessions) session.destroy()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Takes no more calls, waits `graceMs` for those in flight, then breaks off what is left. */
  async close(graceMs = grace): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()))
    const timer = setTimeout(() => this.dropConnections(), graceMs)
    await Promise.all([closed, this.#sessions.idle(), this.#sockets.idle()])
    clearTimeout(timer)
    this.#upstream.close()
  }

  listen(options: BackendOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#http2.once('error', reject).listen(options.port ?? 0, options.host ?? '127.0.0.1', () => {
        this.#port = (this.#http2.address() as AddressInfo).port
        if (this.iam) this.iam.audiences = [options.audience ?? this.url]
        resolve()
      })
    })
  }

  #addServices(services: readonly Service[], withHealth: boolean): Health {
    const onRun = (run: Promise<void>, metadata: Metadata) => {
      this.#runs.add(metadata)
      run.finally(() => this.#runs.delete(metadata))
    }
    const implementations = services.map((service) => service.implement({onRun}))
    for (const {definition, handlers} of implementations) this.#server.addService(definition, handlers)
    const described = implementations.map(({service}) => service)
    const health = new Health(described.map(({typeName}) => typeName))
    if (withHealth) health.addTo(this.#server)
    addReflection(this.#server, withHealth ? [...described, HealthService] : described)
    return health
  }

  #createHttp2({tls, window = 4 * 1024 * 1024}: BackendOptions): Http2Server {
    const {iam} = this
    const server = http2ServerOf(this.#server, credentialsFor(tls), {
      window,
      admit: iam && ((stream, headers) => admit(iam, stream, headers)),
    })
    keepTrack(server, 'session', this.#sessions)
    keepTrack(server, 'connection', this.#sockets)
    return server
  }

  /** With the caller's own ID token, which was good for this audience a moment ago. */
  #itself(cert: string | undefined): Upstream {
    return {
      target: this.target,
      credentials: cert ? credentials.createSsl(Buffer.from(cert)) : credentials.createInsecure(),
    }
  }
}

/** Starts the gRPC services of the local stack, on a free port of 127.0.0.1 unless told otherwise. */
export async function startBackend(options: BackendOptions = {}): Promise<Backend> {
  const backend = new Backend(options)
  await backend.listen(options)
  return backend
}

function credentialsFor(tls: BackendOptions['tls']): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure()
  const pair = {private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert)}
  return ServerCredentials.createSsl(null, [pair])
}

type Admit = NonNullable<Parameters<typeof http2ServerOf>[2]['admit']>

function admit(iam: Iam, ...[stream, headers]: Parameters<Admit>): ReturnType<Admit> {
  const settle = (refusal: Awaited<ReturnType<Iam['check']>>) => {
    if (refusal && !stream.destroyed && !stream.closed) refuse(stream, refusal)
    return !refusal
  }
  const refusal = iam.check(headers)
  return refusal instanceof Promise ? refusal.then(settle) : settle(refusal)
}

interface Closing {
  once(event: 'close', listener: () => void): unknown
}

function keepTrack<T extends Closing>(server: Http2Server, event: string, open: Open<T>): void {
  server.on(event, (item: T) => {
    open.add(item)
    item.once('close', () => open.delete(item))
  })
}

function remember<T>(list: T[], item: T): void {
  list.push(item)
  if (list.length > 2 * remembered) list.splice(0, remembered)
}

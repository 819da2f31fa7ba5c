import type {Http2Server, ServerHttp2Session} from 'node:http2'
import type {AddressInfo, Socket} from 'node:net'
import type {DescMethod} from '@bufbuild/protobuf'
import {type Metadata, Server, ServerCredentials} from '@grpc/grpc-js'
import {Health as HealthService} from '../../src/gen/health/v1/health_pb.js'
import {Iam, refuse} from '../identity/iam.ts'
import type {Authority} from '../identity/id-tokens.ts'
import {Open} from '../open.ts'
import {Health} from './health.ts'
import {http2ServerOf} from './http2-server.ts'
import {type CallRecord, limitTime, recordCalls, resetIsNoEnd, trackCalls} from './interceptors.ts'
import {addReflection} from './reflection.ts'
import type {Service} from './service.ts'

export interface ServerOptions {
  /** 0: any that is free. */
  port?: number
  host?: string
  /** PEM. Without it, the backend uses plaintext HTTP/2. */
  tls?: {key: string; cert: string}
  /** The issuer of accepted ID tokens: a metadata server. Without it, all calls are accepted, as in a container on Cloud Run. */
  iam?: Authority | undefined
  /** The audience of those tokens; the backend's own URL unless given. */
  audience?: string | undefined
  /** The e-mail addresses that have roles/run.invoker; left out, all have. */
  invokers?: readonly string[]
  /** HTTP/2 window of a stream and of a connection, in bytes: 4 MiB unless given. Node's default is 65535. */
  window?: number
  /** Limit for concurrent calls of a connection; default: 100, as at Google's front ends. */
  maxStreams?: number
  /** Time limits in ms by method, as in `/ping.PingService/Send`; `*` is for all others. */
  limits?: Record<string, number>
  /** Called for every ended call. */
  onCall?: (record: CallRecord) => void
  /** `false` leaves out grpc.health.v1, which most backends do not have. */
  healthService?: boolean
  services?: readonly Service[]
  /** The message of UNIMPLEMENTED for a method without a handler; left out, grpc-js's own. */
  unimplemented?: ((method: DescMethod) => string) | undefined
}

/** The minimum number of calls and refusals that are kept. */
const remembered = 1000

/** Default grace period of close() for calls in flight, in ms. */
const grace = 1000

/** A listening gRPC server with the given services, and controls for tests. */
export class GrpcServer {
  readonly health: Health
  /** Undefined without an IAM check. */
  readonly iam: Iam | undefined
  /** Every ended call, the latest last. */
  readonly log: CallRecord[] = []
  readonly #server: Server
  readonly #http2: Http2Server
  readonly #secure: boolean
  #port = 0
  /** Calls, and runs of handlers, by the metadata of the call. */
  readonly #calls = new Open<Metadata>()
  readonly #runs = new Open<Metadata>()
  readonly #sessions = new Open<ServerHttp2Session>()
  readonly #sockets = new Open<Socket>()

  /** Use startServer(). */
  constructor(options: ServerOptions) {
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
    this.health = this.#addServices(options)
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

  /** The number of calls in flight, including handlers that still run after their call. */
  openCalls(): number {
    return new Set([...this.#calls, ...this.#runs]).size
  }

  /** Resolves when no call is open and no handler runs. */
  async idle(): Promise<void> {
    while (this.openCalls()) await Promise.all([this.#calls.idle(), this.#runs.idle()])
  }

  /** The number of open HTTP/2 sessions. */
  connections(): number {
    return this.#sessions.size
  }

  /** Destroys every connection, with its calls. */
  dropConnections(): void {
    for (const session of this.#sessions) session.destroy()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Refuses new calls, waits up to `graceMs` for those in flight, then cancels the rest. */
  async close(graceMs = grace): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()))
    const timer = setTimeout(() => this.dropConnections(), graceMs)
    await Promise.all([closed, this.#sessions.idle(), this.#sockets.idle()])
    clearTimeout(timer)
  }

  listen(options: ServerOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#http2.once('error', reject).listen(options.port ?? 0, options.host ?? '127.0.0.1', () => {
        this.#port = (this.#http2.address() as AddressInfo).port
        if (this.iam) this.iam.audiences = [options.audience ?? this.url]
        resolve()
      })
    })
  }

  #addServices({services = [], healthService = true, unimplemented}: ServerOptions): Health {
    const onRun = (run: Promise<void>, metadata: Metadata) => {
      this.#runs.add(metadata)
      run.finally(() => this.#runs.delete(metadata))
    }
    const implementations = services.map((service) => service.implement({onRun, unimplemented}))
    for (const {definition, handlers} of implementations) this.#server.addService(definition, handlers)
    const described = implementations.map(({service}) => service)
    const health = new Health(described.map(({typeName}) => typeName))
    if (healthService) health.addTo(this.#server)
    addReflection(this.#server, healthService ? [...described, HealthService] : described)
    return health
  }

  #createHttp2({tls, window = 4 * 1024 * 1024}: ServerOptions): Http2Server {
    const {iam} = this
    const server = http2ServerOf(this.#server, credentialsFor(tls), {
      window,
      admit: iam && ((stream, headers) => admit(iam, stream, headers)),
    })
    keepTrack(server, 'session', this.#sessions)
    keepTrack(server, 'connection', this.#sockets)
    return server
  }
}

/**
 * Starts a gRPC server, by default on a free port of 127.0.0.1.
 * @example
 * const server = await startServer({services: [service(PingService, {send: () => ({})})]})
 * console.log(server.url)
 * await server.close()
 */
export async function startServer(options: ServerOptions = {}): Promise<GrpcServer> {
  const server = new GrpcServer(options)
  await server.listen(options)
  return server
}

function credentialsFor(tls: ServerOptions['tls']): ServerCredentials {
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

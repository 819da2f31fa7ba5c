import {once} from 'node:events'
import http2, {
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type {AddressInfo, Socket} from 'node:net'
import {setTimeout as pause} from 'node:timers/promises'
import {BinaryReader, BinaryWriter, WireType} from '@bufbuild/protobuf/wire'
import {Open} from '../open.ts'

/** How long a restarted server waits for its port, in ms. */
const portPatience = 5000

const {NGHTTP2_REFUSED_STREAM, NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR} = http2.constants

/**
 * How a call is treated. The handler runs, and its run is recorded, in all cases except `refuse` and `http`.
 * `answer`: its answer, after `ms` or when `until` has settled. `status`: a gRPC status instead. `refuse`: RST_STREAM with REFUSED_STREAM, at
 * once or when `after` bytes of the request have arrived.
 * `reset`: RST_STREAM with `code` once the request has been read, after the given number of answer messages. `stall`: no
 * answer, or only its head if `headers` is true. `http`: a response without gRPC, as from a proxy in front of the server.
 */
export type Treatment =
  | {readonly kind: 'answer'; readonly ms?: number; readonly until?: Promise<unknown>}
  | {
      readonly kind: 'status'
      readonly code: number
      readonly message?: string
      readonly metadata?: Record<string, string>
    }
  | {readonly kind: 'refuse'; readonly after?: number}
  | {readonly kind: 'reset'; readonly code?: number; readonly messages?: number}
  | {readonly kind: 'stall'; readonly headers?: boolean}
  | {readonly kind: 'http'; readonly status: number; readonly headers?: Record<string, string>; readonly body?: string}

/** A method: maps request messages to answer messages. */
export type Method = (requests: readonly Uint8Array[]) => readonly Uint8Array[]

export interface FaultServerOptions {
  /** 0: any free port. */
  readonly port?: number
  /** SETTINGS_MAX_CONCURRENT_STREAMS of each connection: 100 unless set, as at Google's front ends. */
  readonly maxStreams?: number
  /** The number of calls after which a connection gets a GOAWAY: no limit unless set. */
  readonly closeAfter?: number
  /** Methods by path, in addition to `/ping.PingService/Send`, which they may replace. */
  readonly methods?: Readonly<Record<string, Method>>
}

/** One run of a handler. */
export interface Execution {
  readonly path: string
  /** The call's `x-request-id`; empty when it has none. */
  readonly requestId: string
  /** The number of earlier attempts by the client's count: `grpc-previous-rpc-attempts`. */
  readonly previousAttempts: number
}

/** Returns `Request.message` as `Response.pong.message`. Hand-written, so that a project without a ping service needs none of its code. */
const ping: Method = ([request = new Uint8Array()]) => {
  const reader = new BinaryReader(request)
  let message = ''
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag()
    if (field === 1) message = reader.string()
    else reader.skip(type)
  }
  const answer = new BinaryWriter().tag(1, WireType.LengthDelimited).fork()
  return [answer.tag(2, WireType.LengthDelimited).string(message).join().finish()]
}

/**
 * A gRPC server directly on node:http2, for faults that a gRPC library cannot inject. It records each run of a handler, so that a
 * test can detect a call that ran twice. Made by startFaultServer().
 * @example
 * const server = await startFaultServer()
 * server.next({kind: 'refuse'}, {kind: 'answer', ms: 100})
 * console.log(server.executions)
 * await server.close()
 */
export class FaultServer {
  readonly executions: Execution[] = []
  /** The treatment of calls that next() does not cover. */
  treatment: Treatment = {kind: 'answer'}
  readonly #options: FaultServerOptions
  readonly #next: Treatment[] = []
  readonly #sessions = new Open<ServerHttp2Session>()
  readonly #sockets = new Set<Socket>()
  readonly #streams = new Open<ServerHttp2Stream>()
  readonly #callsOf = new WeakMap<ServerHttp2Session, number>()
  /** For each session, the highest id of a stream whose handler has run. */
  readonly #executedOn = new WeakMap<ServerHttp2Session, number>()
  /**
   * Sessions that have sent GOAWAY and accept no more streams. Node takes the id of the last stream when goaway() is called, but sends
   * it one turn of the event loop later. Without this set, streams that arrive in between would be executed.
   */
  readonly #leaving = new WeakSet<ServerHttp2Session>()
  /** For each session, the id above which no stream is executed. */
  readonly #lastOf = new WeakMap<ServerHttp2Session, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #accepted = 0
  #most = 0
  #begun = 0
  #pings = 0
  #maxStreams: number
  #server: Http2Server | undefined
  #port: number

  /** Use startFaultServer(). */
  constructor(options: FaultServerOptions) {
    this.#options = options
    this.#maxStreams = options.maxStreams ?? 100
    this.#port = options.port ?? 0
  }

  get port(): number {
    return this.#port
  }

  /** `http://127.0.0.1:PORT` */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Numbers of connections: open now, and accepted since the start. */
  get connections(): {readonly open: number; readonly accepted: number} {
    return {open: this.#sessions.size, accepted: this.#accepted}
  }

  /** Numbers of calls: open now, the maximum at any time, and begun since the start, including refused ones. */
  get calls(): {readonly open: number; readonly most: number; readonly begun: number} {
    return {open: this.#streams.size, most: this.#most, begun: this.#begun}
  }

  /** Number of PINGs received on all connections. */
  get pings(): number {
    return this.#pings
  }

  /** The `x-request-id`s of calls for which a handler ran more than once. */
  get doubles(): string[] {
    const ids = new Set<string>()
    return this.executions.map(({requestId}) => requestId).filter((id) => id !== '' && ids.size === ids.add(id).size)
  }

  /** Sets the treatments of the next calls, one each. */
  next(...treatments: readonly Treatment[]): void {
    this.#next.push(...treatments)
  }

  /** Removes the treatments that next() has set. */
  clear(): void {
    this.#next.length = 0
  }

  /** Changes the limit of concurrent streams for open and later connections. */
  set maxStreams(maxConcurrentStreams: number) {
    this.#maxStreams = maxConcurrentStreams
    this.#server?.updateSettings({maxConcurrentStreams})
    for (const session of this.#sessions) if (!session.destroyed) session.settings({maxConcurrentStreams})
  }

  /**
   * Sends GOAWAY on every open connection.
   * @param options.lastStream `all`: every open stream is still answered; `executed`: only streams whose handler has
   * run so far are still answered, and no other one is executed; `unknown`: 2^31-1, as from a server that sends the id later; a
   * number: this id, even if it contradicts what was executed
   * @param options.code an HTTP/2 error code; unless set NO_ERROR, as in a graceful shutdown
   * @param options.data additional debug data, such as `max_age` or `too_many_pings`
   */
  goaway({
    lastStream = 'all',
    code = NGHTTP2_NO_ERROR,
    data = '',
  }: {
    lastStream?: 'all' | 'executed' | 'unknown' | number
    code?: number
    data?: string
  } = {}): void {
    for (const session of this.#sessions) {
      if (session.destroyed) continue
      // Stream ids begin with 1, and Node cannot send the id 0.
      if (lastStream === 'executed') this.#lastOf.set(session, this.#executedOn.get(session) ?? 1)
      if (lastStream === 'all') this.#leaving.add(session)
      session.goaway(code, this.#idFor(session, lastStream), Buffer.from(data))
    }
  }

  /** Ends every connection and its calls, without a GOAWAY. */
  dropConnections(): void {
    for (const session of this.#sessions) session.destroy()
    // A closing session waits for its peer, which may never answer.
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Restarts on the same port, like a container that is replaced: by GOAWAY, waiting for the calls in flight, or hard. */
  async restart({hard = false}: {hard?: boolean} = {}): Promise<void> {
    await this.stop({hard})
    await this.listen()
  }

  /** Stops listening and ends the connections; listen() begins again. */
  async stop({hard = true}: {hard?: boolean} = {}): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    const closed = once(server, 'close')
    server.close()
    if (hard) this.dropConnections()
    else for (const session of this.#sessions) this.#leave(session)
    await Promise.all([this.#sessions.idle(), closed])
  }

  async listen(): Promise<void> {
    const server = http2.createServer({settings: {maxConcurrentStreams: this.#maxStreams}})
    server.on('connection', (socket: Socket) => {
      // It was connected before the server stopped listening, but is reported only after the others have been ended.
      if (this.#server !== server) socket.destroy()
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.on('session', (session) => this.#accept(session))
    server.on('stream', (stream, headers) => this.#serve(stream, headers))
    this.#server = server
    await this.#listenOn(server)
    this.#port = (server.address() as AddressInfo).port
  }

  /** After a restart the port may be taken for a moment: a connection that another process opens meanwhile can get it as its own. */
  async #listenOn(server: Http2Server): Promise<void> {
    const deadline = Date.now() + portPatience
    for (;;) {
      try {
        server.listen(this.#port, '127.0.0.1')
        await once(server, 'listening')
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || Date.now() > deadline) throw error
        await pause(50)
      }
    }
  }

  async close(): Promise<void> {
    await this.stop({hard: true})
    for (const timer of this.#timers) clearTimeout(timer)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #leave(session: ServerHttp2Session): void {
    this.#leaving.add(session)
    session.close()
  }

  #idFor(session: ServerHttp2Session, lastStream: 'all' | 'executed' | 'unknown' | number): number {
    // For 0, Node sends the id of the last stream.
    if (lastStream === 'all') return 0
    if (lastStream === 'executed') return this.#lastOf.get(session)!
    return lastStream === 'unknown' ? 2 ** 31 - 1 : lastStream
  }

  #accept(session: ServerHttp2Session): void {
    this.#accepted++
    this.#sessions.add(session)
    session.on('close', () => this.#sessions.delete(session))
    session.on('error', () => {})
    session.on('ping', () => this.#pings++)
    session.settings({maxConcurrentStreams: this.#maxStreams})
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => {})
    this.#streams.add(stream)
    this.#begun++
    this.#most = Math.max(this.#most, this.#streams.size)
    stream.on('close', () => this.#streams.delete(stream))
    const session = stream.session as ServerHttp2Session
    if (this.#leaving.has(session)) return void stream.close(NGHTTP2_REFUSED_STREAM)
    this.#count(session)
    const treatment = this.#next.shift() ?? this.treatment
    if (treatment.kind === 'refuse') return void refuse(stream, treatment.after ?? 0)
    if (treatment.kind === 'http') {
      stream.respond({':status': treatment.status, 'content-type': 'text/html', ...treatment.headers})
      return void stream.end(treatment.body ?? '')
    }
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => !stream.aborted && this.#run(stream, headers, Buffer.concat(chunks), treatment))
  }

  #count(session: ServerHttp2Session): void {
    const calls = (this.#callsOf.get(session) ?? 0) + 1
    this.#callsOf.set(session, calls)
    if (calls === this.#options.closeAfter) this.#leave(session)
  }

  #run(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer, treatment: Treatment): void {
    const path = String(headers[':path'])
    const method = {'/ping.PingService/Send': ping, ...this.#options.methods}[path]
    if (!method) return void trailersOnly(stream, 12, `unknown method ${path}`)
    const session = stream.session as ServerHttp2Session
    const id = stream.id ?? 0
    if (id > (this.#lastOf.get(session) ?? Number.POSITIVE_INFINITY)) return void stream.close(NGHTTP2_REFUSED_STREAM)
    this.#executedOn.set(session, Math.max(id, this.#executedOn.get(session) ?? 0))
    this.executions.push({
      path,
      requestId: String(headers['x-request-id'] ?? ''),
      previousAttempts: Number(headers['grpc-previous-rpc-attempts'] ?? 0),
    })
    const answers = method(unframed(body))
    if (treatment.kind === 'answer' && treatment.until) treatment.until.finally(() => answer(stream, answers))
    else if (treatment.kind === 'answer') this.#later(treatment.ms ?? 0, () => answer(stream, answers))
    else if (treatment.kind === 'status') {
      trailersOnly(stream, treatment.code, treatment.message ?? '', treatment.metadata)
    } else if (treatment.kind === 'reset') {
      reset(stream, answers.slice(0, treatment.messages ?? 0), treatment.code ?? NGHTTP2_INTERNAL_ERROR)
    } else if (treatment.kind === 'stall' && treatment.headers) stream.respond(responseHead)
  }

  #later(ms: number, work: () => void): void {
    if (ms === 0) return void work()
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, ms)
    this.#timers.add(timer)
  }
}

const responseHead = {':status': 200, 'content-type': 'application/grpc+proto'} as const

function answer(stream: ServerHttp2Stream, messages: readonly Uint8Array[]): void {
  if (stream.destroyed) return
  stream.respond(responseHead, {waitForTrailers: true})
  stream.on('wantTrailers', () => stream.sendTrailers({'grpc-status': '0'}))
  stream.end(Buffer.concat(messages.map(framed)))
}

function refuse(stream: ServerHttp2Stream, after: number): void {
  let left = after
  const count = (chunk: Buffer) => {
    left -= chunk.length
    if (left <= 0) stream.close(NGHTTP2_REFUSED_STREAM)
  }
  if (left === 0) stream.close(NGHTTP2_REFUSED_STREAM)
  else stream.on('data', count)
}

function reset(stream: ServerHttp2Stream, messages: readonly Uint8Array[], code: number): void {
  if (messages.length === 0) return void stream.close(code)
  stream.respond(responseHead)
  stream.write(Buffer.concat(messages.map(framed)), () => stream.close(code))
}

function trailersOnly(stream: ServerHttp2Stream, code: number, message: string, metadata = {}): void {
  if (stream.destroyed) return
  const status = {'grpc-status': String(code), 'grpc-message': encodeURI(message)}
  stream.respond({...responseHead, ...status, ...metadata}, {endStream: true})
}

/** gRPC's Length-Prefixed-Message, uncompressed. */
function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

function unframed(body: Buffer): Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at + 5 <= body.length; at += 5 + body.readUInt32BE(at + 1)) {
    messages.push(body.subarray(at + 5, at + 5 + body.readUInt32BE(at + 1)))
  }
  return messages
}

/**
 * Starts a FaultServer on 127.0.0.1, with `ping.PingService/Send`. Unless options say otherwise, it listens on a free port.
 * @example
 * const server = await startFaultServer({maxStreams: 10})
 */
export async function startFaultServer(options: FaultServerOptions = {}): Promise<FaultServer> {
  const server = new FaultServer(options)
  await server.listen()
  return server
}

import {once} from 'node:events'
import {connect, createServer, type Server, type Socket} from 'node:net'

/** How long a connection waits for functions that are being restarted, in ms. */
const patience = 30_000

/**
 * Holds the port of a development server while the functions behind it come and go: each connection is passed on, byte for byte,
 * to the functions that are served at that moment, and waits while they are being restarted. Of TCP rather than of HTTP, so that
 * all that the functions do with requests and connections is what a caller sees; and rather than a socket that processes
 * inherit, which Node has no documented way to share with a process that it does not fork.
 */
export class Relay {
  readonly #servers: readonly Server[]
  readonly #sockets = new Set<Socket>()
  #target: number | undefined
  #ready: PromiseWithResolvers<void> | undefined = Promise.withResolvers()

  readonly #refuse: (socket: Socket) => void

  /** Use startRelay(). */
  constructor(servers: readonly Server[], refuse: (socket: Socket) => void) {
    this.#servers = servers
    this.#refuse = refuse
    for (const server of servers) server.on('connection', (socket) => void this.#pass(socket))
  }

  get port(): number {
    return (this.#servers[0]!.address() as {port: number}).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** From now on connections wait for passTo(). */
  hold(): void {
    this.#ready ??= Promise.withResolvers()
  }

  /** Passes connections on to `port` of this machine; undefined: each is refused. */
  passTo(port: number | undefined): void {
    this.#target = port
    this.#ready?.resolve()
    this.#ready = undefined
  }

  async close(): Promise<void> {
    const closed = this.#servers.map((server) => {
      server.close()
      return once(server, 'close')
    })
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  async #pass(socket: Socket): Promise<void> {
    this.#sockets.add(socket)
    socket.on('error', () => {}).once('close', () => this.#sockets.delete(socket))
    await this.#settled()
    if (socket.destroyed) return
    if (this.#target === undefined) return this.#refuse(socket)
    const functions = connect({port: this.#target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true})
    let connected = false
    functions.once('connect', () => {
      connected = true
    })
    functions.on('error', () => (connected ? socket.resetAndDestroy() : this.#refuse(socket)))
    socket.on('error', () => functions.resetAndDestroy())
    // A half that ends, ends the other's half; a connection that is gone takes the other with it.
    functions.once('close', () => connected && socket.destroySoon())
    socket.once('close', () => functions.destroy())
    socket.pipe(functions).pipe(socket)
  }

  async #settled(): Promise<void> {
    if (!this.#ready) return
    const {promise, resolve} = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, patience)
    await Promise.race([this.#ready.promise, promise])
    clearTimeout(timer)
  }
}

/**
 * A relay on `port` of this machine alone, over IPv4 and, where there is one, IPv6; 0: any port that is free.
 * @param refuse ends a connection that nobody is there for; with an answer of 503 unless given
 * @throws naming PORT when it is taken
 */
export async function startRelay(port: number, refuse: (socket: Socket) => void = unavailable): Promise<Relay> {
  const options = {allowHalfOpen: true, noDelay: true}
  const server = createServer(options).listen(port, '127.0.0.1')
  await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EADDRINUSE' ? taken(port) : error
  })
  const other = createServer(options)
  const bound = (server.address() as {port: number}).port
  other.listen({port: bound, host: '::1', ipv6Only: true})
  const both = await once(other, 'listening').then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code,
  )
  if (both === 'EADDRINUSE' && port > 0) {
    server.close()
    throw taken(port)
  }
  return new Relay(both === true ? [server, other] : [server], refuse)
}

function taken(port: number): Error {
  return new Error(`PORT="${port}" is in use: set PORT to another one, or to 0 for any`)
}

/** Answers whatever is asked, in the shape of the functions' own failures. */
function unavailable(socket: Socket): void {
  const message =
    'The functions are not running: the terminal with npm start says why. They start again at the next change'
  const body = JSON.stringify({error: {code: 503, message, status: 'UNAVAILABLE', details: []}})
  socket.once('data', () => {
    socket.end(
      `HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n${body}`,
    )
    socket.resume()
  })
  socket.once('end', () => socket.end())
}

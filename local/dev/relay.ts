import {once} from 'node:events'
import {connect, createServer, type Server, type Socket} from 'node:net'

/** Timeout of a connection that waits for restarting functions, in ms. */
const patience = 30_000

/**
 * Keeps the port of a development server open while the functions behind it are replaced. Each connection is passed on, byte for byte,
 * to the current functions, and waits while they restart. It relays TCP rather than HTTP, so that callers see exactly how the functions
 * treat requests and connections. An inherited socket would not do: Node has no documented way to share one with a process that it does
 * not fork.
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

  /** Makes new connections wait for passTo(). */
  hold(): void {
    this.#ready ??= Promise.withResolvers()
  }

  /** Passes connections on to `port` of this machine; undefined refuses them. */
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
    // A half-close is passed on; a closed connection closes the other one.
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
 * Starts a relay on `port` of loopback, over IPv4 and, if available, IPv6. 0 is any free port.
 * @param refuse ends a connection when there are no functions; answers 503 unless given
 * @throws naming PORT when it is in use
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

/** Answers any request with 503, in the format of the functions' own errors. */
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

import {once} from 'node:events'
import {type AddressInfo, connect, createServer, type Server, type Socket} from 'node:net'
import {setTimeout as pause} from 'node:timers/promises'
import {Open} from '../open.ts'

/** The direction of bytes: from the client to the server, or back. */
export type Direction = 'toServer' | 'toClient'

/**
 * How a connection handles the bytes of one direction:
 * `forward` forwards them; `delay` forwards them `ms` later, in order; `drop` reads and discards them, like a NAT or load
 * balancer that has lost its state; `garble` inverts each bit, like a proxy that corrupts data;
 * `cut` forwards `bytes` more and then ends the connection.
 */
export type Behaviour =
  | {readonly kind: 'forward'}
  | {readonly kind: 'delay'; readonly ms: number}
  | {readonly kind: 'drop'}
  | {readonly kind: 'garble'}
  | {readonly kind: 'cut'; readonly bytes: number; readonly end: 'fin' | 'reset' | 'drop'}

export interface ProxyOptions {
  /** The port of the server behind the proxy, or a function if the port may change. */
  readonly target: number | (() => number)
  /** 127.0.0.1 unless set. */
  readonly targetHost?: string
  /** The proxy's port; 0 for any free port. */
  readonly port?: number
}

/** The bytes of one direction of a connection. */
class Flow {
  behaviour: Behaviour
  /** Number of bytes received from the sender. */
  received = 0
  /** Number of bytes forwarded. */
  forwarded = 0
  readonly #from: Socket
  readonly #to: Socket
  readonly #end: (how: 'fin' | 'reset') => void

  constructor(from: Socket, to: Socket, behaviour: Behaviour, end: (how: 'fin' | 'reset') => void) {
    this.#from = from
    this.#to = to
    this.behaviour = behaviour
    this.#end = end
    void this.#run()
  }

  async #run(): Promise<void> {
    try {
      for await (const chunk of this.#from.iterator({destroyOnReturn: false}) as AsyncIterable<Buffer>) {
        this.received += chunk.length
        await this.#pass(chunk)
      }
      // A half-closed sender stays half-closed on the other side.
      if (this.behaviour.kind !== 'drop') this.#to.end()
    } catch {
      if (this.behaviour.kind !== 'drop') this.#to.destroy()
    }
  }

  async #pass(chunk: Buffer): Promise<void> {
    const behaviour = this.behaviour
    if (behaviour.kind === 'delay') await pause(behaviour.ms)
    if (behaviour.kind === 'drop') return
    if (behaviour.kind === 'garble') for (let at = 0; at < chunk.length; at++) chunk[at]! ^= 0xff
    if (behaviour.kind !== 'cut') return await this.#write(chunk)
    const head = chunk.subarray(0, behaviour.bytes)
    this.behaviour = {...behaviour, bytes: behaviour.bytes - head.length}
    await this.#write(head)
    if (head.length < chunk.length || behaviour.bytes === head.length) this.#cut(behaviour.end)
  }

  #cut(end: 'fin' | 'reset' | 'drop'): void {
    this.behaviour = {kind: 'drop'}
    if (end !== 'drop') this.#end(end)
  }

  /** Resolves when the socket accepts more bytes, or is closed. */
  async #write(bytes: Buffer): Promise<void> {
    this.forwarded += bytes.length
    if (bytes.length === 0 || this.#to.destroyed || this.#to.write(bytes)) return
    await firstOf(this.#to, 'drain', 'close')
  }
}

/** Resolves at the first of `events`. Unlike once(), it ignores errors: a `close` follows each. */
function firstOf(socket: Socket, ...events: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of events) socket.off(event, done)
      resolve()
    }
    for (const event of events) socket.on(event, done)
  })
}

/** Resets a socket, or destroys one that is ending: Node cannot reset such a socket, and would never close it after trying (EINVAL). */
function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else if (!socket.destroyed) socket.resetAndDestroy()
}

/** One connection through the proxy. */
export class ProxiedConnection {
  readonly toServer: Flow
  readonly toClient: Flow
  /** Resolves when the client's side is closed. */
  readonly closed: Promise<void>
  readonly #client: Socket
  readonly #server: Socket

  constructor(client: Socket, server: Socket, behaviours: Readonly<Record<Direction, Behaviour>>) {
    this.#client = client
    this.#server = server
    this.closed = firstOf(client, 'close')
    const end = (how: 'fin' | 'reset') => (how === 'fin' ? this.fin() : this.reset())
    this.toServer = new Flow(client, server, behaviours.toServer, end)
    this.toClient = new Flow(server, client, behaviours.toClient, end)
  }

  /** Ends both sides with a FIN. */
  fin(): void {
    this.#client.end()
    this.#server.end()
  }

  /** Ends both sides with an RST. */
  reset(): void {
    reset(this.#client)
    reset(this.#server)
  }
}

const forward: Behaviour = {kind: 'forward'}

/**
 * A TCP proxy on loopback in front of one server, which injects network faults at any moment. A behaviour applies to the open connections
 * and, unless an option says otherwise, to later ones, until another one is set. Made by startProxy().
 * @example
 * const proxy = await startProxy({target: 9090})
 * proxy.delay(100)
 * proxy.forward()
 * await proxy.close()
 */
export class FaultProxy {
  readonly #server: Server
  readonly #open = new Open<ProxiedConnection>()
  readonly #sockets = new Set<Socket>()
  readonly #options: ProxyOptions
  #behaviours: Record<Direction, Behaviour> = {toServer: forward, toClient: forward}
  #accepting = true
  #accepted = 0
  #refused = 0
  #waiting: ((connection: ProxiedConnection) => void)[] = []

  /** Use startProxy(). */
  constructor(options: ProxyOptions) {
    this.#options = options
    this.#server = createServer({allowHalfOpen: true, pauseOnConnect: true}, (client) => this.#accept(client))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** `http://127.0.0.1:PORT` */
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** The connections that are open, the oldest first. */
  get connections(): readonly ProxiedConnection[] {
    return [...this.#open]
  }

  /** The number of connections accepted since the start. */
  get accepted(): number {
    return this.#accepted
  }

  /** The number of connections reset on arrival. */
  get refused(): number {
    return this.#refused
  }

  /** The next connection that is accepted. */
  next(): Promise<ProxiedConnection> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /**
   * Forwards everything again, also on connections that dropped bytes. Dropped bytes stay lost.
   * @param options.open false: open connections keep their behaviour, like those whose state a NAT has lost
   */
  forward({open = true}: {open?: boolean} = {}): void {
    this.#accepting = true
    if (open) this.#set({toServer: forward, toClient: forward})
    else this.#behaviours = {toServer: forward, toClient: forward}
  }

  /** Forwards each chunk `ms` later. */
  delay(ms: number, directions: readonly Direction[] = ['toServer', 'toClient']): void {
    this.#set(Object.fromEntries(directions.map((direction) => [direction, {kind: 'delay', ms}])))
  }

  /**
   * Drops everything silently: sockets stay open, and nothing is forwarded.
   * @param options.later false: later connections are forwarded
   */
  drop({
    directions = ['toServer', 'toClient'],
    later = false,
  }: {
    directions?: readonly Direction[]
    later?: boolean
  } = {}) {
    this.#set(Object.fromEntries(directions.map((direction) => [direction, {kind: 'drop'}])), later)
  }

  /** Inverts each bit. */
  garble(directions: readonly Direction[] = ['toServer', 'toClient']): void {
    this.#set(Object.fromEntries(directions.map((direction) => [direction, {kind: 'garble'}])))
  }

  /** Forwards `bytes` more in `direction` on each open connection, then ends it. */
  cutAfter(bytes: number, end: 'fin' | 'reset' | 'drop', direction: Direction = 'toClient', later = false): void {
    this.#set({[direction]: {kind: 'cut', bytes, end}}, later)
  }

  /** Ends every open connection with a FIN. */
  fin(): void {
    for (const connection of this.#open) connection.fin()
  }

  /** Ends every open connection with an RST. */
  reset(): void {
    for (const connection of this.#open) connection.reset()
  }

  /** Resets new connections at once; open ones continue. */
  refuse(): void {
    this.#accepting = false
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await once(this.#server, 'close')
    await this.#open.idle()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#options.port ?? 0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  #set(behaviours: Partial<Record<Direction, Behaviour>>, later = true): void {
    if (later) this.#behaviours = {...this.#behaviours, ...behaviours}
    for (const connection of this.#open) {
      for (const [direction, behaviour] of Object.entries(behaviours)) {
        connection[direction as Direction].behaviour = behaviour
      }
    }
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    if (!this.#accepting) {
      this.#refused++
      return void reset(client)
    }
    this.#accepted++
    const {target, targetHost = '127.0.0.1'} = this.#options
    const port = typeof target === 'function' ? target() : target
    const server = connect({port, host: targetHost, allowHalfOpen: true, noDelay: true})
    client.setNoDelay(true)
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    }
    // The client sees an unreachable server as a reset by this port.
    server.on('error', () => reset(client))
    const connection = new ProxiedConnection(client, server, this.#behaviours)
    this.#open.add(connection)
    connection.closed.then(() => {
      server.destroy()
      this.#open.delete(connection)
    })
    for (const tell of this.#waiting.splice(0)) tell(connection)
  }
}

/**
 * Starts a proxy on a free port of 127.0.0.1.
 * @param options.target the port of the server behind it
 * @example
 * const proxy = await startProxy({target: 9090})
 * proxy.drop() // from now on the connections are dead, but neither side notices
 */
export async function startProxy(options: ProxyOptions): Promise<FaultProxy> {
  const proxy = new FaultProxy(options)
  await proxy.listen()
  return proxy
}

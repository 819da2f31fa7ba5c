import {once} from 'node:events'
import {type AddressInfo, connect, createServer, type Socket} from 'node:net'

/** A server that accepts connections and stays silent on them, unless told otherwise. */
export class SilentServer implements AsyncDisposable {
  readonly port: number
  readonly #server
  readonly #sockets = new Set<Socket>()
  #to: number | undefined
  #takers: ((socket: Socket) => void)[] = []

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (socket) => this.#take(socket))
  }

  static async start(): Promise<SilentServer> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new SilentServer(server)
  }

  /** From now on new connections are forwarded to `port`, or stay silent if it is undefined. */
  passTo(port: number | undefined): void {
    this.#to = port
  }

  /** The next accepted connection. */
  next(): Promise<Socket> {
    return new Promise((resolve) => this.#takers.push(resolve))
  }

  /** The number of connections accepted so far. */
  accepted = 0

  /** The number of open connections. */
  get open(): number {
    return this.#sockets.size
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #take(socket: Socket): void {
    this.accepted++
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.#to === undefined) socket.resume()
    else {
      const there = connect(this.#to, '127.0.0.1').on('error', () => socket.destroy())
      socket.pipe(there).pipe(socket)
      socket.once('close', () => there.destroy())
      there.once('close', () => socket.destroy())
    }
    this.#takers.shift()?.(socket)
  }
}

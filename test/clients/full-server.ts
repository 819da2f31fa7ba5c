import {fork} from 'node:child_process'
import {once} from 'node:events'
import {connect, type Socket} from 'node:net'

/** A server whose backlog of connections is full, so that its kernel drops further connection requests. Only Linux does so. */
export class FullServer implements AsyncDisposable {
  readonly port: number
  readonly #end: () => Promise<void>

  private constructor(port: number, end: () => Promise<void>) {
    this.port = port
    this.#end = end
  }

  static async start(): Promise<FullServer> {
    const child = fork(import.meta.filename)
    const [port] = (await once(child, 'message')) as [number]
    // From here on its kernel accepts connections into the backlog, but the process does not take them from there.
    child.kill('SIGSTOP')
    const sockets: Socket[] = []
    const end = async () => {
      for (const socket of sockets) socket.destroy()
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    for (;;) {
      const socket = connect(port, '127.0.0.1')
      sockets.push(socket.on('error', () => {}))
      // Only silence shows that the backlog is full: there is no other sign.
      const timeout = new Promise((resolve) => setTimeout(resolve, 500, 'full'))
      if ((await Promise.race([once(socket, 'connect'), timeout])) === 'full') return new FullServer(port, end)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end()
  }
}

if (import.meta.main) {
  const {createServer} = await import('node:net')
  const server = createServer().listen({port: 0, host: '127.0.0.1', backlog: 1})
  await once(server, 'listening')
  process.send?.((server.address() as {port: number}).port)
}

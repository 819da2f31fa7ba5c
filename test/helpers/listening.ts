import {once} from 'node:events'
import type {AddressInfo, Server, Socket} from 'node:net'
import type {ExecutionContext} from 'ava'

/** Waits until `server` listens, and returns its port. The server is closed with the test. */
export async function listening(t: ExecutionContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  const watch = (socket: Socket) => sockets.add(socket.on('error', () => {}))
  server
    .on('connection', watch)
    .on('secureConnection', watch)
    .on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

import {randomUUID} from 'node:crypto'
import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import {once} from 'node:events'
import {type IncomingMessage, Server, type ServerResponse} from 'node:http'
import {type AddressInfo, createServer, type ListenOptions} from 'node:net'
import type {Duplex} from 'node:stream'

/** The events by which node:http passes a request on. */
const requests = new Set(['request', 'checkContinue', 'checkExpectation', 'upgrade'])

/** A Host that means this machine, with or without a port. */
const own = /^(([\w-]+\.)*localhost\.?|127(\.\d{1,3}){3}|\[::1\])(:\d*)?$/i

/** Limit for the quoted part of a foreign Host, in characters. */
const quoted = 100

/**
 * Makes the first server of this process listen only on loopback, over IPv4 and, if available, IPv6, and refuse requests for other
 * hosts. Otherwise anybody in the network, or by DNS rebinding any page in the developer's browser, could make calls with the
 * developer's permissions.
 *
 * @param listening is called with the port once all of it listens
 * @param ahead is called with the server before, and stands between this check and the functions
 */
export function keepToLoopback(listening: (port: number) => void, ahead?: (server: Server) => void): void {
  const begin = 'tracing:net.server.listen:asyncStart'
  const end = 'tracing:net.server.listen:asyncEnd'
  const toLoopback = (message: unknown) => {
    const {options} = message as {options: ListenOptions}
    options.host = '127.0.0.1'
    unsubscribe(begin, toLoopback)
  }
  const guard = async (message: unknown) => {
    const {server} = message as {server: Server}
    if (!(server instanceof Server)) return
    unsubscribe(end, guard)
    ahead?.(server)
    refuseForeignHosts(server)
    const {port} = server.address() as AddressInfo
    await listenOnIPv6(server, port)
    listening(port)
  }
  subscribe(begin, toLoopback)
  subscribe(end, guard)
}

function refuseForeignHosts(server: Server): void {
  const emit = server.emit.bind(server)
  server.emit = (event: string, ...args: unknown[]) => {
    if (!requests.has(event)) return emit(event, ...args)
    const [{headers}, answer] = args as [IncomingMessage, ServerResponse | Duplex]
    if (headers.host === undefined || own.test(headers.host)) return emit(event, ...args)
    refuse(headers.host, answer)
    return true
  }
}

function refuse(host: string, answer: ServerResponse | Duplex): void {
  const shown = JSON.stringify(host.length > quoted ? `${host.slice(0, quoted)}…` : host)
  const message = `Host ${shown} is not this machine: expected localhost, as npm start serves nobody else`
  const details = [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'HOST_NOT_LOCAL',
      domain: 'grpc-functions',
      metadata: {},
    },
  ]
  const body = JSON.stringify({error: {code: 403, message, status: 'PERMISSION_DENIED', details}})
  if (!('writeHead' in answer)) return void answer.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n')
  answer.writeHead(403, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
    'x-request-id': randomUUID(),
    connection: 'close',
  })
  answer.end(body)
}

/** Hands connections to [::1] on to `server`, because `localhost` is that for some clients; where there is no IPv6, none. */
async function listenOnIPv6(server: Server, port: number): Promise<void> {
  const front = createServer({allowHalfOpen: true, noDelay: true}, (socket) => server.emit('connection', socket))
  server.once('close', () => front.close())
  front.listen({port, host: '::1', ipv6Only: true}).unref()
  await once(front, 'listening').catch(() => undefined)
}

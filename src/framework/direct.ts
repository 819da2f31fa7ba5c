import type {IncomingMessage, Server, ServerResponse} from 'node:http'
import type {Socket} from 'node:net'
import type {Logger} from '../core/log.ts'
import type {NodeHandler} from '../http/scope.ts'

/** A middleware of Express. */
type Middleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => unknown

/** Express's app, as a listener of a server's requests. */
interface Express {
  (...args: unknown[]): void
  readonly handle: unknown
  readonly router?: {readonly stack?: readonly {readonly handle?: Middleware}[]}
}

/** The middlewares of the framework that have an effect: with LOG_EXECUTION_ID, they label what a function prints. */
const kept = ['executionContextMiddleware', 'asyncLocalStorageMiddleware'] as const

/**
 * Makes a server of the framework call `handler` itself from its second request on, without Express. The first one still passes through
 * Express and all of the framework's middlewares, which shows which function the server has. After serveRawRequests() and endWell() the
 * middlewares have no effect except for `kept`, but they take a sixth of a unary call's CPU.
 *
 * It relies on `socket.server`, on Express's app being the listener of the server's requests, and on the names in `kept`. Without
 * any of these, every request passes through Express.
 */
export function direct(handler: NodeHandler, log: Pick<Logger, 'error'>): NodeHandler {
  return (request, response) => {
    const {server} = request.socket as Socket & {readonly server?: Server}
    const app = server && expressOf(server)
    const [identify, label] = app ? keptOf(app) : []
    if (app && identify && label) {
      const run = (request: IncomingMessage, response: ServerResponse) => {
        handler(request, response).catch((error) => endFailed(error, response, log))
      }
      const listener = (request: IncomingMessage, response: ServerResponse) => {
        identify(Object.assign(request, {header}), response, () =>
          label(request, response, () => run(request, response)),
        )
      }
      server.off('request', app).prependListener('request', listener)
    }
    return handler(request, response)
  }
}

/** Express's app, if `server` is the framework's and calls it for each request. */
export function expressOf(server: Server): Express | undefined {
  const listeners = server.listeners('request') as unknown as Partial<Express>[]
  return listeners.find((listener): listener is Express => typeof listener.handle === 'function')
}

function keptOf({router}: Express): (Middleware | undefined)[] {
  return kept.map((name) => router?.stack?.find(({handle}) => handle?.name === name)?.handle)
}

/** As Express's own `request.header()`, which the framework's middleware calls. */
function header(this: IncomingMessage, name: string): string | string[] | undefined {
  return this.headers[name.toLowerCase()]
}

/** The last resort for a request that failed outside its function. The framework, too, answers it with 500. */
function endFailed(error: unknown, response: ServerResponse, log: Pick<Logger, 'error'>): void {
  log.error({err: error}, 'A request failed outside its function')
  if (!response.headersSent) response.writeHead(500)
  response.end()
}

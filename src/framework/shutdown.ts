import {subscribe} from 'node:diagnostics_channel'
import type {Server} from 'node:http'
import {getCallSites} from 'node:util'
import {Fault} from '../core/fault.ts'
import type {Logger} from '../core/log.ts'
import {atMost} from '../core/waiting.ts'
import {currentRequest} from '../http/current-request.ts'
import {drained, failAll, isStopping, requestsInFlight, stopTaking} from '../http/in-flight.ts'
import {withoutDomains} from './domains.ts'

/** How long the requests in flight have when the instance must stop, in ms: Cloud Run kills it after 10 s. */
const patience = 7000
/** Grace period for requests aborted at the end of the drain to send their 503, in ms. */
const abortGrace = 800
/** How long `close` may take, in ms. */
const closing = 1000

/** The exit code after an uncaught error, as the framework has it. */
const crashed = 16

const servers = new Set<Server>()

/** The parts of a runtime that the shutdown needs. */
export interface Ending {
  readonly log: Logger
  /** Called when all requests have been answered. */
  close(): Promise<void> | void
}

/**
 * Ends the instance well on SIGTERM and SIGINT: no new request is taken, all in flight are answered, `close` is called,
 * and the process exits with 0. What is thrown where nobody can catch it fails the request in whose name it was; an
 * exception that was nobody's ends the instance likewise, with 16, and a rejection is logged.
 *
 * The framework's own handlers would answer the latest request with 500, drop all others and exit at once: they are
 * taken away as they are registered, and nobody else's are.
 */
export function endWell({log, close}: Ending): void {
  withoutDomains()
  subscribe('http.server.request.start', (message) => {
    servers.add((message as {server: Server}).server)
  })
  const stop = (why: string, exitCode: number) => {
    if (isStopping()) return
    stopTaking()
    const done = drain()
    log.info(`Stopping: ${why}, ${requestsInFlight()} in flight`)
    done
      .then(() =>
        atMost(
          closing,
          Promise.try(() => close()),
        ),
      )
      .catch((error) => log.error({err: error}, 'Stopping failed'))
      .finally(() => process.exit(exitCode))
  }
  const handlers = {
    SIGTERM: () => stop('SIGTERM', 0),
    SIGINT: () => stop('SIGINT', 0),
    uncaughtException: (error: unknown) => {
      if (failed(error, log)) return
      log.fatal({err: error}, 'Uncaught exception')
      stop('uncaught exception', crashed)
    },
    unhandledRejection: (error: unknown) => log.error({err: error}, 'Unhandled rejection'),
  }
  process.on('newListener', (event: string, listener: () => void) => {
    if ((event in handlers || event === 'exit') && isFrameworks()) queueMicrotask(() => process.off(event, listener))
  })
  for (const [event, handler] of Object.entries(handlers)) process.on(event, handler)
}

/** Whether `error` was thrown in the name of a request: it is answered with INTERNAL, unless it is over. */
function failed(error: unknown, log: Logger): boolean {
  const request = currentRequest()
  if (!request) return false
  if (!request.fail(Fault.from(error))) log.error({err: error}, 'Thrown after its request was over')
  return true
}

async function drain(): Promise<void> {
  for (const server of servers) server.close()
  await drained(patience)
  failAll(new Fault('UNAVAILABLE', 'The instance is stopping: try again'))
  await drained(abortGrace)
}

/** Whether the framework is what calls: asked for call sites, because a stack would have a build read its source map. */
function isFrameworks(): boolean {
  return getCallSites().some(({scriptName}) => /functions-framework[\\/]build[\\/]src[\\/]invoker/.test(scriptName))
}

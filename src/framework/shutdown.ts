import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import type {Server} from 'node:http'
import {getCallSites} from 'node:util'
import {Fault} from '../core/fault.ts'
import type {Logger} from '../core/log.ts'
import {atMost} from '../core/waiting.ts'
import {currentRequest} from '../http/current-request.ts'
import {drained, failAll, requestsInFlight, stopTaking} from '../http/in-flight.ts'
import {withoutDomains} from './domains.ts'

/** Grace period for requests when the instance must stop, in ms. Cloud Run kills it after 10 s. */
const patience = 7000
/** Grace period for requests aborted at the end of the drain to send their 503, in ms. */
const abortGrace = 800
/** How long `close` may take, in ms. */
const closing = 1000
/** Number of turns of the event loop without a new connection, after which everything received has been read. */
const quietTurns = 3
/** Limit for waiting for these turns, in ms. */
const longestArrival = 4000

/** The framework's exit code after an uncaught error. */
const crashed = 16

const servers = new Set<Server>()

/** The parts of a runtime that the shutdown needs. */
export interface Ending {
  readonly log: Logger
  /** Called when all requests have been answered. */
  close(): Promise<void> | void
}

/**
 * Shuts the instance down gracefully on SIGTERM and SIGINT: it accepts no new request, answers all requests in flight, calls `close`,
 * and exits with 0. An uncaught error fails the request in whose async context it was thrown. An
 * exception outside of any request shuts the instance down with exit code 16, and a rejection is logged.
 *
 * The framework's own handlers would answer the latest request with 500, drop all others and exit at once. So they are
 * removed as they are registered; other handlers stay.
 */
export function endWell({log, close}: Ending): void {
  withoutDomains()
  subscribe('http.server.request.start', (message) => {
    servers.add((message as {server: Server}).server)
  })
  let stopped = false
  const stop = (why: string, exitCode: number) => {
    if (stopped) return
    stopped = true
    const end = performance.now() + patience
    arrived(performance.now() + longestArrival)
      .then(() => {
        stopTaking()
        for (const server of servers) server.close()
        log.info(`Stopping: ${why}, ${requestsInFlight()} in flight`)
        return drain(end)
      })
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

/** Whether `error` was thrown in a request's async context. That request is answered with INTERNAL, unless it is over. */
function failed(error: unknown, log: Logger): boolean {
  const request = currentRequest()
  if (!request) return false
  if (!request.fail(Fault.from(error))) log.error({err: error}, 'Thrown after its request was over')
  return true
}

/** @param end time at which requests are aborted, by `performance.now()` */
async function drain(end: number): Promise<void> {
  do {
    await drained(end - performance.now())
    // A connection may have received its next request already, which is answered too.
    await arrived(end)
  } while (requestsInFlight() > 0 && performance.now() < end)
  failAll(new Fault('UNAVAILABLE', 'The instance is stopping: try again'))
  await drained(abortGrace)
}

/**
 * Waits until this process has accepted the kernel's pending connections, and has read their requests.
 * Otherwise they would be reset without an answer. A busy instance can have many, and accepts one in each turn.
 * @param end limit, by `performance.now()`
 */
async function arrived(end: number): Promise<void> {
  let quiet = 0
  const onConnection = () => {
    quiet = 0
  }
  subscribe('net.server.socket', onConnection)
  for (let turns = 0; turns < quietTurns || (quiet < quietTurns && performance.now() < end); turns++) {
    quiet++
    await new Promise((resolve) => setImmediate(resolve))
  }
  unsubscribe('net.server.socket', onConnection)
}

/** Whether the framework is the caller. Uses call sites, because for a stack a build would read its source map. */
function isFrameworks(): boolean {
  return getCallSites().some(({scriptName}) => /functions-framework[\\/]build[\\/]src[\\/]invoker/.test(scriptName))
}

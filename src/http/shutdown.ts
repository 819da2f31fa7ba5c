import {subscribe} from 'node:diagnostics_channel'
import type {Server} from 'node:http'
import {Fault} from '../fault.ts'
import {log} from '../log.ts'
import {atMost} from './at-most.ts'
import {type Answerable, whose, withoutDomains} from './uncaught.ts'

/** How long the requests in flight have when the instance must stop, in ms: Cloud Run kills it after 10 s. */
const patience = 7000
/** How long those have that were ended then, to send their answers, in ms. */
const farewell = 800
/** How long `close` may take, in ms. */
const closing = 1000

/** The exit code after an uncaught error, as the framework has it. */
const crashed = 16

/** Each request that is being answered, and what settles when its response has been sent. */
const open = new Map<Answerable, Promise<void>>()
const servers = new Set<Server>()
let stopping = false

/** Whether the instance takes no requests any more. */
export function isStopping(): boolean {
  return stopping
}

/** Has a stop wait for `request` until `done` settles. */
export function inFlight(request: Answerable, done: Promise<void>): void {
  open.set(request, done)
  done.finally(() => open.delete(request))
}

/** How many requests are being answered. */
export function requestsInFlight(): number {
  return open.size
}

/**
 * Ends the instance well on SIGTERM and SIGINT: no new request is taken, all in flight are answered, `close` is called,
 * and the process exits with 0. What is thrown where nobody can catch it fails the request in whose name it was; an
 * exception that was nobody's ends the instance likewise, with 16, and a rejection is logged.
 *
 * The framework's own handlers would answer the latest request with 500, drop all others and exit at once: they are
 * taken away as they are registered, and nobody else's are.
 */
export function endWell(close: () => Promise<void> | void): void {
  withoutDomains()
  subscribe('http.server.request.start', (message) => {
    servers.add((message as {server: Server}).server)
  })
  const stop = (why: string, exitCode: number) => {
    if (stopping) return
    stopping = true
    const drained = drain()
    log.info(`Stopping: ${why}, ${open.size} in flight`)
    drained
      .then(() => atMost(closing, Promise.try(close)))
      .catch((error) => log.error({err: error}, 'Stopping failed'))
      .finally(() => process.exit(exitCode))
  }
  const handlers = {
    SIGTERM: () => stop('SIGTERM', 0),
    SIGINT: () => stop('SIGINT', 0),
    uncaughtException: (error: unknown) => {
      if (failed(error)) return
      log.fatal({err: error}, 'Uncaught exception')
      stop('uncaught exception', crashed)
    },
    unhandledRejection: (error: unknown) => log.error({err: error}, 'Unhandled rejection'),
  }
  process.on('newListener', (event: string, listener: () => void) => {
    if ((event in handlers || event === 'exit') && isFrameworks(new Error().stack))
      queueMicrotask(() => process.off(event, listener))
  })
  for (const [event, handler] of Object.entries(handlers)) process.on(event, handler)
}

/** Whether `error` was thrown in the name of a request: it is answered with INTERNAL, unless it is over. */
function failed(error: unknown): boolean {
  const request = whose()
  if (!request) return false
  if (!request.fail(Fault.from(error))) log.error({err: error}, 'Thrown after its request was over')
  return true
}

async function drain(): Promise<void> {
  for (const server of servers) server.close()
  await atMost(patience, settled())
  for (const request of open.keys()) request.fail(new Fault('UNAVAILABLE', 'The instance is stopping: try again'))
  await atMost(farewell, settled())
}

async function settled(): Promise<void> {
  while (open.size > 0) await Promise.all(open.values())
}

function isFrameworks(stack = ''): boolean {
  return /functions-framework[\\/]build[\\/]src[\\/]invoker/.test(stack)
}

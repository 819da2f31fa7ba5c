import {subscribe} from 'node:diagnostics_channel'
import type {Server} from 'node:http'
import {Fault} from '../fault.ts'
import {log} from '../log.ts'

/** A request that is being answered. */
export interface Open {
  /** Settles when its response has been sent. */
  readonly done: Promise<void>
  /** Ends it now, with `fault` for an answer. */
  fail(fault: Fault): void
}

/** How long the requests in flight have when the instance must stop, in ms: Cloud Run kills it after 10 s. */
const patience = 7000
/** How long those have that were ended then, to send their answers, in ms. */
const farewell = 800

/** The exit code after an uncaught error, as the framework has it. */
const crashed = 16

const open = new Set<Open>()
const servers = new Set<Server>()
let stopping = false

/** Whether the instance takes no requests any more. */
export function isStopping(): boolean {
  return stopping
}

/** Has a stop wait for `request`. */
export function inFlight(request: Open): void {
  open.add(request)
  request.done.finally(() => open.delete(request))
}

/** How many requests are being answered. */
export function requestsInFlight(): number {
  return open.size
}

/**
 * Ends the instance well on SIGTERM and SIGINT: no new request is taken, all in flight are answered, `close` is called,
 * and the process exits with 0. After an uncaught exception likewise, with 16; an unhandled rejection is logged.
 *
 * The framework's own handlers would answer the latest request with 500, drop all others and exit at once: they are
 * taken away as they are registered, and nobody else's are.
 */
export function endWell(close: () => Promise<void> | void): void {
  subscribe('http.server.request.start', (message) => {
    servers.add((message as {server: Server}).server)
  })
  const stop = (why: string, exitCode: number) => {
    if (stopping) return
    stopping = true
    log.info(`Stopping: ${why}, ${open.size} in flight`)
    drain()
      .then(close)
      .catch((error) => log.error({err: error}, 'Stopping failed'))
      .finally(() => process.exit(exitCode))
  }
  const handlers = {
    SIGTERM: () => stop('SIGTERM', 0),
    SIGINT: () => stop('SIGINT', 0),
    uncaughtException: (error: unknown) => {
      log.fatal({err: error}, 'Uncaught exception')
      stop('uncaught exception', crashed)
    },
    unhandledRejection: (error: unknown) => log.error({err: error}, 'Unhandled rejection'),
  }
  process.on('newListener', (event: string, listener: () => void) => {
    if (event in handlers && isFrameworks(new Error().stack)) queueMicrotask(() => process.off(event, listener))
  })
  for (const [event, handler] of Object.entries(handlers)) process.on(event, handler)
}

async function drain(): Promise<void> {
  for (const server of servers) server.close()
  await atMost(patience, settled())
  for (const request of open) request.fail(new Fault('UNAVAILABLE', 'The instance is stopping: try again'))
  await atMost(farewell, settled())
}

async function settled(): Promise<void> {
  while (open.size > 0) await Promise.all([...open].map(({done}) => done))
}

async function atMost(ms: number, work: Promise<void>): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  await Promise.race([work, promise])
  clearTimeout(timer)
}

function isFrameworks(stack = ''): boolean {
  return /functions-framework[\\/]build[\\/]src[\\/]invoker/.test(stack)
}

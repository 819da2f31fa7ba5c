// Imported first, to count timers before any of our code is loaded.

import {once} from 'node:events'
import type {Server} from 'node:http'
import type {AddressInfo} from 'node:net'
import {http} from '@google-cloud/functions-framework'
import {getTestServer} from '@google-cloud/functions-framework/testing'
import type {ExecutionContext} from 'ava'
import type {Backend, BackendOptions} from '../../local/grpc/backend.ts'
import type {MetadataServer} from '../../local/identity/metadata.ts'
import {startStack} from '../../local/stack.ts'
import type {StorageServer} from '../../local/storage/server.ts'
import {openCalls} from '../../src/clients/calls.ts'
import {createRuntime, type Runtime} from '../../src/clients/runtime.ts'
import {readConfig} from '../../src/core/config.ts'
import type {Logger} from '../../src/core/log.ts'
import type {RateLimitStore} from '../../src/core/rate-limit.ts'
import {direct} from '../../src/framework/direct.ts'
import {serveRawRequests} from '../../src/framework/raw-requests.ts'
import {endWell} from '../../src/framework/shutdown.ts'
import {takeUpgrades} from '../../src/framework/upgrades.ts'
import {app} from '../../src/functions/app.ts'
import {finalized} from '../../src/functions/finalized.ts'
import {gateway} from '../../src/functions/gateway.ts'
import {health} from '../../src/functions/health.ts'
import {mcp} from '../../src/functions/mcp.ts'
import {ping} from '../../src/functions/ping.ts'
import {upload} from '../../src/functions/upload.ts'
import {named} from '../../src/http/access.ts'
import {admissionOf} from '../../src/http/admission.ts'
import {currentRequest} from '../../src/http/current-request.ts'
import {requestsInFlight} from '../../src/http/in-flight.ts'
import type {Handler} from '../../src/http/scope.ts'
import {serve} from '../../src/http/serve.ts'
import {runningTimers} from './timers.ts'

export interface AppOptions {
  /** The function to serve. */
  readonly target?: string
  /** Environment variables in addition to the stack's. */
  readonly env?: Readonly<Record<string, string>>
  readonly backend?: BackendOptions
  /** The log; by default there is none. */
  readonly log?: Logger
  readonly rateLimits?: RateLimitStore
  /** Awaited before each response ends. */
  readonly flush?: () => Promise<unknown>
}

/**
 * The functions and the local stack in this process, so that a test sees both ends: with the real functions-framework's server,
 * and real sockets everywhere.
 */
export interface App {
  readonly runtime: Runtime
  /** The framework's own server. */
  readonly server: Server
  readonly backend: Backend
  readonly storage: StorageServer
  readonly metadata: MetadataServer
  url(path: string): string
  /** `fetch` of `path`, including the body. Fails if anything is still open when the answer has arrived. */
  ask(t: ExecutionContext, path: string, init?: RequestInit): Promise<Answer>
  /** Serves `handler` as a separate function, on the same framework. */
  serve(handler: Handler): Promise<{readonly url: string; close(): Promise<void>}>
  /** Waits until both ends are idle, and fails if the functions then have anything open. */
  quiet(t: ExecutionContext): Promise<void>
  close(): Promise<void>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly json: any
}

/** The functions by name, as in src/deployed.ts. */
const functions: Readonly<Record<string, (runtime: Runtime) => Handler>> = {
  app,
  finalized,
  gateway,
  health,
  mcp,
  ping,
  upload,
}

let apps = 0
let prepared = false

export async function startApp({
  target = 'app',
  env = {},
  backend: options = {},
  log,
  rateLimits,
  flush,
}: AppOptions = {}): Promise<App> {
  const stack = await startStack({}, options)
  const runtime = createRuntime(readConfig({...stack.env, LOG_LEVEL: 'silent', ...env}), {
    ...(log && {log}),
    ...(rateLimits && {rateLimits}),
    ...(flush && {flush}),
  })
  const admission = admissionOf(runtime)
  const handler = named(`/${target}`, functions[target]!(runtime))
  if (!prepared) {
    prepared = true
    serveRawRequests({log: runtime.log, errorShape: handler.errorShape})
    endWell(runtime)
    takeUpgrades()
    leaveToRequests(() => currentRequest() !== undefined)
  }
  const servers: Server[] = []
  const listen = async (handler: Handler) => {
    const name = `app${++apps}`
    http(name, direct(serve(handler, runtime), runtime.log))
    const server = getTestServer(name).listen(0, '127.0.0.1')
    servers.push(server)
    await once(server, 'listening')
    return {
      server,
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      close: () => closed(server),
    }
  }
  const {url, server} = await listen(handler)
  const {backend, storage, metadata} = stack
  if (!backend || !storage || !metadata) throw new Error('The stack is not whole')

  return {
    runtime,
    server,
    backend,
    storage,
    metadata,
    url: (path) => `${url}${path}`,
    async ask(t, path, init) {
      const response = await fetch(`${url}${path}`, init)
      const text = await response.text()
      t.deepEqual({calls: openCalls(), timers: runningTimers()}, {calls: 0, timers: []})
      return {status: response.status, headers: response.headers, text, json: parsed(text)}
    },
    serve: listen,
    async quiet(t) {
      await Promise.all([backend.idle(), storage.idle(), metadata.idle()])
      for (let turns = 0; turns < 100 && requestsInFlight() > 0; turns++) await new Promise(setImmediate)
      t.deepEqual(
        {requests: requestsInFlight(), calls: openCalls(), timers: runningTimers(), held: admission.bytes},
        {requests: 0, calls: 0, timers: [], held: 0},
      )
    },
    async close() {
      await Promise.all(servers.map(closed))
      runtime.close()
      await stack.close()
    },
  }
}

/** Lets the request handle an exception in its own context, instead of ava. */
function leaveToRequests(isRequests: () => boolean): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    const runner = process
      .listeners(event as 'uncaughtException')
      .filter((listener) => !/failed\(/.test(String(listener)))
    for (const listener of runner) {
      process.off(event, listener)
      process.on(event, (...args: Parameters<typeof listener>) => {
        if (!isRequests()) listener(...args)
      })
    }
  }
}

async function closed(server: Server): Promise<void> {
  if (!server.listening) return
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

import {once} from 'node:events'
import {createServer, type IncomingMessage, type Server} from 'node:http'
import type {AddressInfo} from 'node:net'
import {tmpdir} from 'node:os'
import {Activity} from './activity.ts'
import {answer, type RequestHook} from './answer.ts'
import type {LoggedRequest} from './exchange.ts'
import {type Fault, Faults} from './faults.ts'
import {Notifications, type Subscription} from './notifications.ts'
import {type Operation, operationOf} from './operations.ts'
import {
  type BucketMetadata,
  type BucketOptions,
  type ObjectMetadata,
  type ObjectOptions,
  writableOf,
} from './resource.ts'
import {type Route, routeOf} from './route.ts'
import {Store} from './store.ts'
import {Resumables} from './uploads/resumable.ts'
import {receive} from './uploads/upload.ts'

export type {RequestHook} from './answer.ts'
export type {LoggedRequest} from './exchange.ts'
export type {AnswerFault, BodyFault, Fault, FaultFilter, RequestKind} from './faults.ts'
export type {Delivery, EventForm, Notifications, ObjectEvent, Subscription} from './notifications.ts'
export type {BucketMetadata, BucketOptions, ObjectMetadata, ObjectOptions} from './resource.ts'

/** Bytes of an object. The buffer of a chunk may be reused once the next chunk is requested. */
export type Content = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

export interface StorageOptions {
  /** A free port of 127.0.0.1 unless given. */
  port?: number
  host?: string
  /**
   * Where to create the folder with the objects' bytes, which `close` removes: unless given, the system's folder for temporary files,
   * which may be on a slow disk.
   */
  dir?: string
}

/**
 * A Cloud Storage server with the operations that @google-cloud/storage needs, and faults on demand. Hand-written, because emulators are
 * Go or Python programs that npm does not install, and none of them can interrupt a transfer at a given byte.
 */
export interface StorageServer extends AsyncDisposable {
  /** The value for STORAGE_EMULATOR_HOST, or for a client's `apiEndpoint`: `http://127.0.0.1:40001`. */
  readonly url: string
  /** Stores an object directly, without HTTP. Creates the bucket if needed. */
  put(bucket: string, object: string, content: Content, options?: ObjectOptions): Promise<ObjectMetadata>
  /** Creates a bucket; `{versioning: {enabled: true}}` keeps overwritten and deleted generations. */
  createBucket(bucket: string, options?: BucketOptions): BucketMetadata
  /** Answers every request about the bucket with 403 until the result is disposed of. */
  forbid(bucket: string): Disposable
  /** Sets a fault for future requests; disposing of the result removes it. Earlier faults apply first. */
  fault(fault: Fault): Disposable
  /** Calls `hook` with each request before it is handled, until the result is disposed of. */
  onRequest(hook: RequestHook): Disposable
  /** Sends an event of each finalized object from now on; `close()` of the result ends it. */
  notify(subscription: Subscription): Notifications
  /** The last 10,000 requests in order of arrival, including those in progress. */
  readonly requests: readonly LoggedRequest[]
  /** Number of requests in progress: not completely answered, or not cleaned up yet. */
  openRequests(): number
  /** Resolves when no request is in progress. */
  idle(): Promise<void>
  /** Ends every connection and removes all bytes. */
  close(): Promise<void>
}

/**
 * Starts a Storage server. It listens when this resolves.
 * @example
 * const storage = await startStorage()
 * await storage.put('samples', 'hello.txt', 'Hello')
 * storage.fault({cutAt: 3}) // the next read is interrupted after the third byte
 */
export async function startStorage({
  port = 0,
  host = '127.0.0.1',
  dir = tmpdir(),
}: StorageOptions = {}): Promise<StorageServer> {
  const server = createServer()
  const url = await listen(server, port, host)
  const subscribed = new Set<Notifications>()
  const store = new Store(dir, url, (object) => {
    for (const notifications of subscribed) notifications.tell(object)
  })
  const faults = new Faults()
  const resumables = new Resumables()
  const activity = new Activity()
  const hooks = new Set<RequestHook>()
  const forbidden = new Set<string>()

  server.on('request', (request, response) => {
    const closed = new AbortController()
    const {route, error} = tryRoute(request.url!)
    const operation = operationOf(request.method!, route)
    const log = logOf(request, route, operation)
    const origin = `http://${request.headers.host ?? new URL(url).host}`
    const exchange = {request, response, route, log, store, faults, resumables, closed: closed.signal, origin}
    response.on('close', () => {
      log.aborted = !response.writableFinished
      closed.abort()
    })
    activity.begin(log, answer(exchange, operation, {hooks, forbidden, error}))
  })

  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await Promise.all([activity.idle(), ...[...subscribed].map((notifications) => notifications.close())])
    await resumables.close()
    await store.close()
  }
  return {
    url,
    async put(bucket, object, content, about = {}) {
      if (!store.hasBucket(bucket)) store.createBucket(bucket)
      const upload = {name: {bucket, object}, about: writableOf(about), conditions: {}, expected: {}}
      return receive(store, upload, chunksOf(content))
    },
    createBucket: (bucket, options) => store.createBucket(bucket, options),
    forbid: (bucket) => added(forbidden, bucket),
    fault: (fault) => faults.order(fault),
    onRequest: (hook) => added(hooks, hook),
    notify(subscription) {
      const notifications = new Notifications(subscription)
      subscribed.add(notifications)
      return notifications
    },
    requests: activity.requests,
    openRequests: () => activity.open,
    idle: () => activity.idle(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Resolves with the URL. */
async function listen(server: Server, port: number, host: string): Promise<string> {
  // As long as Google's, so that idle connections stay open between two requests of tests and benchmarks.
  server.keepAliveTimeout = 240_000
  server.requestTimeout = 0
  server.listen(port, host)
  await once(server, 'listening')
  const {address, family, port: bound} = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`
}

function tryRoute(url: string): {route: Route; error?: unknown} {
  try {
    return {route: routeOf(url)}
  } catch (error) {
    return {route: {resource: 'nothing', query: new URLSearchParams(), form: 'json'}, error}
  }
}

function logOf(
  {method, url, headers}: IncomingMessage,
  {bucket, object, query}: Route,
  operation?: Operation,
): LoggedRequest {
  return {
    method: method!,
    url: url!,
    headers,
    kind: operation?.kind,
    bucket,
    object: object ?? query.get('name') ?? undefined,
    range: headers.range,
    status: 0,
    bytesSent: 0,
    aborted: false,
    done: false,
  }
}

function chunksOf(content: Content): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof content === 'string') return [Buffer.from(content)]
  return content instanceof Uint8Array ? [content] : content
}

function added<T>(set: Set<T>, item: T): Disposable {
  set.add(item)
  return {[Symbol.dispose]: () => void set.delete(item)}
}

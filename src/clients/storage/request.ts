import {request as httpRequest, type IncomingMessage} from 'node:http'
import {request as httpsRequest} from 'node:https'
import type {Storage} from '@google-cloud/storage'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {explainLateness, within} from '../../core/waiting.ts'
import {TransientError} from './backoff.ts'
import type {KeptConnections} from './connections.ts'
import {bodyOf, divertBody} from './receiver.ts'

/** The name of an object. */
export interface ObjectName {
  readonly bucket: string
  readonly object: string
  /** Default: the live generation. */
  readonly generation?: string | undefined
}

/** Where and how objects are read. */
export interface Source {
  /** Google's library, for its endpoint and credentials. */
  readonly storage: Storage
  /** The base URL of an emulator, in place of the library's endpoint. */
  readonly emulator: string | undefined
  readonly connections: KeptConnections
  /** Timeout for a response, and for each pause between two chunks of its body, in ms. */
  readonly stall: number
}

/** One HTTP request to Storage. */
export interface StorageRequest {
  readonly method: 'GET' | 'POST'
  /** The part of the path after the base URL. */
  readonly path: string
  /** The part before it, such as `/upload`: empty unless given. */
  readonly before?: string
  readonly headers: Readonly<Record<string, string>>
  /** Whether to use a new connection, because the last one may be dead unnoticed. */
  readonly fresh: boolean
}

/** A GET of an object or of its metadata. */
export interface ObjectRequest {
  readonly name: ObjectName
  readonly query: URLSearchParams
  readonly headers?: Readonly<Record<string, string>>
  /** Whether to use a new connection, because the last one may be dead unnoticed. */
  readonly fresh: boolean
}

/** Limit for the name of an object, in bytes: https://cloud.google.com/storage/docs/objects#naming */
const mostName = 1024

/**
 * Sends `request` and returns the response, with status 200 or 206 and an unread body.
 * @throws {Fault} for a permanent error: NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION, …
 * @throws {Error} for a transient error
 */
export async function getObject(signal: AbortSignal, source: Source, request: ObjectRequest): Promise<IncomingMessage> {
  const {name, query, fresh} = request
  if (!name.bucket.isWellFormed() || !name.object.isWellFormed()) {
    throw new Fault('INVALID_ARGUMENT', `${quoted(name)} is not named in Unicode`)
  }
  if (Buffer.byteLength(name.object) > mostName) {
    throw Fault.invalid('object', `${quoted(name)} cannot be: a name has at most ${mostName} bytes of UTF-8`)
  }
  // Concatenated as text: URL would resolve an object named "..".
  const path = `/b/${encodeURIComponent(name.bucket)}/o/${encodeURIComponent(name.object)}?${query}`
  // An object stored as gzip is sent as stored.
  const headers = {'accept-encoding': 'gzip', ...request.headers}
  const response = await sent(signal, source, {method: 'GET', path, headers, fresh})
  return await accepted(response, name, source.stall)
}

/** Sends a request, and returns the response whatever its status. @throws {Error} when there is none in time */
export async function sent(signal: AbortSignal, source: Source, request: StorageRequest): Promise<IncomingMessage> {
  const {storage, emulator, connections, stall} = source
  const {method, before = '', path, headers, fresh} = request
  // The library uses an emulator's variable as the base URL unchanged, which only its own emulator serves.
  const base = new URL(emulator ?? storage.baseUrl)
  const authorization = await within(signal, authorizationFor(signal, storage))
  const secure = base.protocol === 'https:'
  const {promise, resolve, reject} = Promise.withResolvers<IncomingMessage>()
  const outgoing = (secure ? httpsRequest : httpRequest)({
    method,
    host: base.hostname.replace(/^\[|\]$/g, ''),
    port: base.port || (secure ? 443 : 80),
    path: `${before}${base.pathname.replace(/\/$/, '')}${path}`,
    headers: {...authorization, ...headers},
    agent: fresh ? connections.agentForOne(secure) : connections.agentFor(secure),
    signal,
  })
  const timer = setTimeout(() => outgoing.destroy(new TransientError(`No answer for ${stall} ms`)), stall)
  outgoing.on('response', (response) => {
    divertBody(response)
    resolve(response)
  })
  outgoing.on('error', reject)
  outgoing.end()
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

async function accepted(response: IncomingMessage, name: ObjectName, stall: number): Promise<IncomingMessage> {
  const status = response.statusCode ?? 0
  if (status === 200 || status === 206) return response
  const cause = await whyNot(response, stall)
  throw refusal(status, cause, name)
}

/** Storage's error text of a permanent error, for the log. @throws {TransientError} for a transient error */
export async function whyNot(response: IncomingMessage, stall: number): Promise<string> {
  const status = response.statusCode ?? 0
  const text = await textOf(response, stall)
  if (status === 408 || status === 429 || status >= 500) {
    throw new TransientError(`Storage answered ${status}`, Number(response.headers['retry-after'] ?? 0) * 1000 || 0)
  }
  return saidIn(text)
}

/** Limit for an error text of Storage in the log, in characters. */
const mostSaid = 1000

/** The Fault for a permanent failure. Storage's own text is for the log. */
function refusal(status: number, cause: string, name: ObjectName): Fault {
  const bucket = shortened(name.bucket)
  const object = shortened(name.object)
  switch (status) {
    case 404:
      return /\bbucket\b/i.test(cause) && !/\bobject\b/i.test(cause)
        ? new Fault('NOT_FOUND', `There is no bucket "${bucket}"`, {cause, reason: 'BUCKET_NOT_FOUND'})
        : new Fault('NOT_FOUND', `There is no object "${object}" in bucket "${bucket}"`, {
            cause,
            reason: 'OBJECT_NOT_FOUND',
          })
    case 400:
      return Fault.invalid('object', `${quoted(name)} cannot be read: Storage takes no such name or generation`, {
        cause,
      })
    case 401:
    case 403:
      return new Fault('PERMISSION_DENIED', `No permission to read object "${object}" in bucket "${bucket}"`, {
        cause,
        reason: 'STORAGE_PERMISSION_DENIED',
        hint: `grant roles/storage.objectViewer on bucket "${bucket}" to this function's service account`,
      })
    case 412:
      return new Fault('FAILED_PRECONDITION', `${quoted(name)} is not as it was asked for`, {cause, http: 412})
    default:
      return new Fault('INTERNAL', 'Internal error', {cause: `Storage answered ${status}: ${cause}`})
  }
}

/** The name of an object, for messages. */
export function quoted({bucket, object}: ObjectName): string {
  return `Object "${shortened(object)}" in bucket "${shortened(bucket)}"`
}

/** Storage's error text, for the log: the message in its JSON, or the whole text without one. */
function saidIn(text: string): string {
  const message = messageIn(text)
  return shortened(typeof message === 'string' ? message : text, mostSaid)
}

function messageIn(text: string): unknown {
  try {
    return JSON.parse(text).error.message
  } catch {
    return undefined
  }
}

async function authorizationFor(signal: AbortSignal, storage: Storage): Promise<Record<string, string>> {
  if (needsNoToken(storage)) return {}
  const reason = 'ACCESS_TOKEN_UNAVAILABLE'
  using _ = explainLateness(
    signal,
    () => new Fault('DEADLINE_EXCEEDED', 'No access token for Storage in time', {reason}),
  )
  try {
    return Object.fromEntries(await storage.authClient.getRequestHeaders(storage.baseUrl))
  } catch (cause) {
    throw new Fault('UNAVAILABLE', 'No access token to be had for Storage', {cause, reason, retryAfter: 1})
  }
}

/** An emulator gets no token. */
export function needsNoToken({customEndpoint, useAuthWithCustomEndpoint}: Storage): boolean {
  return customEndpoint && !useAuthWithCustomEndpoint
}

/** The chunks of `response`. Each may be used only until the next one is requested. @throws when one takes longer than `stall` ms */
export async function* piecesOf(response: IncomingMessage, stall: number): AsyncGenerator<Buffer> {
  // Only a requested chunk can be late: while the receiver is slow, none is requested.
  let waiting = true
  const timer = setTimeout(() => {
    if (waiting) response.destroy(new TransientError(`No bytes for ${stall} ms`))
  }, stall)
  try {
    for await (const piece of bodyOf(response)) {
      waiting = false
      yield piece
      waiting = true
      timer.refresh()
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Limit for a response that is read as text, in bytes: metadata and errors are much shorter. */
const mostText = 64 * 1024

/** `response` as text, for small responses. A longer one is cut, and its rest is not read. */
export async function textOf(response: IncomingMessage, stall: number): Promise<string> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of piecesOf(response, stall)) {
    pieces.push(Buffer.from(piece))
    size += piece.length
    if (size > mostText) break
  }
  return Buffer.concat(pieces).toString()
}

import {over} from './body.ts'
import {errorBody, StorageError} from './error.ts'
import {type Exchange, type LoggedRequest, send} from './exchange.ts'
import type {AnswerFault} from './faults.ts'
import type {Operation} from './operations.ts'

/** Called and awaited before a request is handled. If it throws, the response is 500. */
export type RequestHook = (request: Readonly<LoggedRequest>) => unknown

/** Checks before the operation. */
export interface Controls {
  readonly hooks: ReadonlySet<RequestHook>
  readonly forbidden: ReadonlySet<string>
  /** The error of a malformed URL. */
  readonly error?: unknown
}

/** Answers a request. Resolves when the response is over and everything is cleaned up; never rejects. */
export async function answer(exchange: Exchange, operation: Operation | undefined, controls: Controls): Promise<void> {
  try {
    for (const hook of controls.hooks) await Promise.race([hook(exchange.log), over(exchange.closed)])
    if (!exchange.closed.aborted) await operate(exchange, operation, controls)
  } catch (error) {
    sendError(exchange, error)
  }
  await over(exchange.closed)
}

async function operate(exchange: Exchange, operation: Operation | undefined, controls: Controls): Promise<void> {
  const fault = exchange.faults.answer(exchange.log)
  if (fault && 'status' in fault) throw faultError(fault)
  if (fault) return over(exchange.closed)
  if (controls.error) throw controls.error
  if (controls.forbidden.has(exchange.route.bucket ?? '')) throw forbiddenError(exchange.log)
  if (exchange.resumables.allow(exchange)) return preflight(exchange)
  if (!operation) throw new StorageError(404)
  return operation.run(exchange)
}

function sendError(exchange: Exchange, error: unknown): void {
  if (exchange.closed.aborted) return
  if (exchange.response.headersSent) {
    // Too late for a status, so the error resets the body.
    exchange.response.destroy()
    return
  }
  const failure = error instanceof StorageError ? error : new StorageError(500, String(error))
  const {type, text} = errorBody(failure, exchange.route.form)
  send(exchange, failure.status, {...failure.headers, 'Content-Type': type}, text)
}

function preflight(exchange: Exchange): void {
  send(exchange, 200, {
    'access-control-allow-methods': 'DELETE, GET, POST, PUT',
    'access-control-allow-headers': 'content-type, content-range',
    'access-control-max-age': '3600',
  })
}

function faultError({status, retryAfter, message}: Extract<AnswerFault, {status: number}>): StorageError {
  return new StorageError(status, message, retryAfter === undefined ? {} : {'Retry-After': String(retryAfter)})
}

const verbs = {metadata: 'get', media: 'get', list: 'list', upload: 'create', change: 'update'} as const

function forbiddenError({kind = 'metadata', object}: LoggedRequest): StorageError {
  const permission = `storage.${object || kind === 'list' ? 'objects' : 'buckets'}.${verbs[kind]}`
  const message = `local@local.iam.gserviceaccount.com does not have ${permission} access to the Google Cloud Storage ${object ? 'object' : 'bucket'}. Permission '${permission}' denied on resource (or it may not exist).`
  return new StorageError(403, message)
}

import {once} from 'node:events'
import {type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp} from 'node:http'
import {request as requestHttps} from 'node:https'
import {createInterface} from 'node:readline'
import {Readable} from 'node:stream'
import {buffer} from 'node:stream/consumers'
import {credentialsOf} from '../../src/clients/identity/credentials.ts'
import {IdTokens} from '../../src/clients/identity/id-tokens.ts'
import {readConfig} from '../../src/core/config.ts'
import {type Code, codeOf, codes, Fault} from '../../src/core/fault.ts'
import {httpStatus} from '../../src/http/response/failure.ts'
import {methodIn, onlyOf} from './call-backend.ts'
import {type CallOptions, failure, headersOf, methodOf, type Shown, timeoutOf} from './commands/call.ts'
import {commandLife} from './life.ts'
import {messagesOf} from './messages.ts'
import {CommandError} from './output.ts'
import {requestsFor} from './rest-request.ts'
import {schemaOf} from './schema.ts'

/** An HTTP request. */
export interface HttpRequest {
  readonly verb: string
  /** With the query. */
  readonly path: string
  /** The JSON texts of the body, one for each message; undefined for no body. */
  readonly body?: AsyncIterable<string> | undefined
  /** Whether the body, or the answer, is a stream of messages. */
  readonly isStream: boolean
}

/**
 * Calls a method, or requests a path, through the functions.
 * @throws {CommandError} with the gRPC code of an error
 */
export async function callHttp(target: string, options: CallOptions, shown: Shown): Promise<void> {
  const request = target.startsWith('/') ? plainRequest(target, options) : await methodRequest(target, options)
  const seconds = timeoutOf(options, request.isStream || target.startsWith('/'))
  const base = (options.url ?? `http://localhost:${process.env.PORT || 8080}`).replace(/\/$/, '')
  if (!URL.canParse(base + request.path)) throw new CommandError(`--url "${base}": expected a URL`, 2)
  const signal = seconds === undefined ? undefined : AbortSignal.timeout(seconds * 1000)
  const headers = {
    accept: request.isStream
      ? 'application/x-ndjson, application/json;q=0.9, */*;q=0.8'
      : 'application/json, */*;q=0.8',
    ...(request.body && {'content-type': request.isStream ? 'application/x-ndjson' : 'application/json'}),
    ...(seconds !== undefined && {'x-server-timeout': String(seconds)}),
    ...(options.audience !== undefined && {authorization: `Bearer ${await tokenFor(options.audience)}`}),
    ...headersOf(options),
  }
  shown.note(`> ${request.verb} ${base}${request.path}`)
  const send = base.startsWith('https:') ? requestHttps : requestHttp
  const sent = send(base + request.path, {method: request.verb, headers, ...(signal && {signal})})
  sent.on('error', () => {})
  try {
    // Answers may arrive before all messages are sent, and an error may end the call early.
    const failed = Promise.withResolvers<never>()
    write(sent, request.body).catch(failed.reject)
    const [answer] = (await Promise.race([once(sent, 'response'), failed.promise])) as [IncomingMessage]
    await Promise.race([show(answer, shown), failed.promise])
  } catch (error) {
    if (error instanceof CommandError || error instanceof Fault) throw error
    if (signal?.aborted) throw failure('DEADLINE_EXCEEDED', `No answer within ${seconds} s`)
    const {code, message} = error as NodeJS.ErrnoException
    const hint = code === 'ECONNREFUSED' ? 'npm start serves the functions there; --url names another place' : undefined
    throw failure('UNAVAILABLE', `${base} cannot be reached: ${code ?? message}`, [], hint)
  } finally {
    sent.destroy()
  }
}

/** The request for a path: a POST if there is a message. */
function plainRequest(path: string, {data, request}: CallOptions): HttpRequest {
  const verb = request ?? (data.length > 0 ? 'POST' : 'GET')
  return {verb, path, body: data.length > 0 ? messagesOf(data) : undefined, isStream: data.length > 1}
}

async function methodRequest(target: string, options: CallOptions): Promise<HttpRequest> {
  const {service, method: name} = methodOf(target)
  const registry = await schemaOf(options.schema)
  const method = methodIn(registry, service, name)
  const isStream = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming'
  const texts = isStream ? messagesOf(options.data) : Readable.from([await onlyOf(method, options)])
  return await requestsFor(method, registry, texts)
}

/** @throws {Fault} when no token is available */
async function tokenFor(audience: string): Promise<string> {
  const timeout = 30_000
  const life = commandLife(AbortSignal.timeout(timeout), Date.now() + timeout)
  return await new IdTokens(credentialsOf(readConfig(process.env))).for(audience).token(life)
}

async function write(request: ClientRequest, body: AsyncIterable<string> | undefined): Promise<void> {
  if (body) {
    // Sends the head at once, because the first message of a stream may come late.
    request.flushHeaders()
    for await (const text of body) if (!request.write(`${text}\n`)) await once(request, 'drain')
  }
  request.end()
}

async function show(response: IncomingMessage, shown: Shown): Promise<void> {
  const status = response.statusCode ?? 0
  shown.note(`< ${status} ${response.statusMessage}`)
  shown.headers(response.headers)
  const type = typeOf(response.headers)
  if (status >= 400) throw failureOf(status, (await buffer(response)).toString())
  if (type === 'application/x-ndjson') {
    for await (const line of createInterface({input: response})) {
      if (line.trim()) showMessage(line, shown)
    }
  } else if (type === 'application/json') {
    const text = (await buffer(response)).toString()
    if (text) shown.message(JSON.parse(text))
  } else for await (const bytes of response) shown.bytes(bytes)
  shown.trailers(response.trailers)
}

function typeOf(headers: IncomingHttpHeaders): string {
  return (headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
}

/** @throws {CommandError} for the error line at the end of a failed stream */
function showMessage(line: string, shown: Shown): void {
  const message = JSON.parse(line) as {readonly error?: unknown}
  if (Object.keys(message).join() === 'error' && typeof message.error === 'object') throw failureOf(500, line)
  shown.message(message)
}

/** The common fields of AIP-193 errors and google.rpc.Status. */
interface Told {
  readonly code?: number
  readonly status?: string
  readonly message?: string
  readonly details?: readonly unknown[]
}

function failureOf(status: number, text: string): CommandError {
  const told = toldIn(text)
  const byNumber =
    told.status === undefined && told.code !== undefined && told.code <= 16 ? codeOf(told.code) : undefined
  const named = told.status !== undefined && told.status in codes ? (told.status as Code) : byNumber
  const code = named ?? (Object.keys(httpStatus) as Code[]).find((name) => httpStatus[name] === status) ?? 'UNKNOWN'
  return failure(code, told.message ?? `HTTP ${status}${text ? `: ${text.slice(0, 200)}` : ''}`, [
    ...(told.details ?? []),
  ])
}

function toldIn(text: string): Told {
  try {
    const json = JSON.parse(text) as {readonly error?: Told} & Told
    return json?.error ?? json ?? {}
  } catch {
    return {}
  }
}

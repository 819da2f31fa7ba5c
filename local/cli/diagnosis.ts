import {lookup} from 'node:dns/promises'
import type {ClientHttp2Session} from 'node:http2'
import {connect} from 'node:net'
import type {TLSSocket} from 'node:tls'
import {causeIn} from '../../src/clients/connections/causes.ts'
import {causeAt} from '../../src/clients/connections/probe.ts'
import {credentialsOf} from '../../src/clients/identity/credentials.ts'
import {IdTokens} from '../../src/clients/identity/id-tokens.ts'
import type {Backend, Config} from '../../src/core/config.ts'
import {Fault} from '../../src/core/fault.ts'
import {commandLife} from './life.ts'
import {firstMessage, openSession, type RawAnswer, rawCall} from './raw-grpc.ts'
import {servicesIn} from './reflection.ts'
import {type Place, type TroubleName, troubleOf} from './troubles.ts'

/** The result of one check. */
export interface Check {
  readonly what: string
  readonly state: 'ok' | 'wrong' | 'note'
  /** The finding. */
  readonly is: string
  /** Name of the problem or note. */
  readonly cause?: TroubleName
  /** What to change, and the command for it. */
  readonly change?: string
  readonly line?: string
}

/** Timeout for a connection, and for the server's first bytes: at least this, in ms, and this share of the whole time. */
const connecting = {least: 1500, share: 0.3}

/** Timeout for each answer when the port's protocol is probed. There are three at most, and the whole diagnosis has 5 s. */
const answering = {least: 500, share: 0.1}

/** Errors of Google's proxies and Envoy when a server does not understand their protocol. */
const brokenOff = /protocol error|before headers|malformed response/i

/** A problem, after which further checks make no sense. */
class Wrong extends Error {
  override readonly cause: TroubleName

  constructor(cause: TroubleName) {
    super(cause)
    this.cause = cause
  }
}

/** Checks one backend step by step, until it finds a problem. */
export class Diagnosis {
  readonly checks: Check[] = []
  readonly #backend: Backend
  readonly #config: Pick<Config, 'metadataHost' | 'projectId'>
  readonly #signal: AbortSignal
  readonly #deadline: number
  readonly #timeout: number
  #place: Place
  #token: string | undefined

  constructor(backend: Backend, config: Pick<Config, 'metadataHost' | 'projectId'>, timeout: number) {
    this.#backend = backend
    this.#config = config
    this.#deadline = Date.now() + timeout
    this.#timeout = timeout
    this.#signal = AbortSignal.timeout(timeout)
    this.#place = placeOf(backend)
  }

  async run(): Promise<readonly Check[]> {
    await this.#check('DNS', () => this.#resolve())
    await this.#check('network', () => this.#connect())
    await this.#check(this.#backend.tls ? 'TLS' : 'protocol', () => this.#speak())
    const session = await this.#check('HTTP/2', () => this.#open())
    if (!session) return this.checks
    try {
      await this.#check('ID token', () => this.#fetchToken())
      const health = await this.#check('access', () => this.#ask(session))
      if (health) await this.#look(session, health)
      return this.checks
    } finally {
      session.destroy()
    }
  }

  /** Runs one step, unless an earlier one has found a problem. */
  async #check<T>(what: string, step: () => Promise<{is: string; given?: T}>): Promise<T | undefined> {
    if (this.checks.some(({state}) => state === 'wrong')) return undefined
    try {
      const {is, given} = await within(this.#signal, step())
      this.checks.push({what, state: 'ok', is})
      return given
    } catch (error) {
      this.#tell(what, 'wrong', error instanceof Wrong ? error.cause : 'SLOW', error)
      return undefined
    }
  }

  #tell(what: string, state: 'wrong' | 'note', cause: TroubleName, error?: unknown): void {
    const told = error !== undefined && !(error instanceof Wrong) && !this.#signal.aborted ? `: ${String(error)}` : ''
    const {is, ...remedy} = troubleOf(cause, this.#place)
    this.checks.push({what, state, is: is + told, cause, ...remedy})
  }

  #timeFor({least, share}: typeof connecting): number {
    return Math.max(least, Math.round(share * this.#timeout))
  }

  async #resolve() {
    const {host} = this.#place
    const found = await lookup(host, {all: true}).catch(() => {
      throw new Wrong('NO_SUCH_HOST')
    })
    return {is: found.map(({address}) => address).join(', ')}
  }

  async #connect() {
    const {host, port} = this.#place
    const began = performance.now()
    const socket = connect({host, port})
    const settled = Promise.withResolvers<void>()
    socket.once('connect', settled.resolve).on('error', settled.reject)
    const timer = setTimeout(() => settled.reject(new Wrong('SILENT')), this.#timeFor(connecting))
    try {
      await settled.promise
    } catch (error) {
      throw error instanceof Wrong ? error : new Wrong(causeIn(textOf(error)) ?? 'CONNECTION_REFUSED')
    } finally {
      clearTimeout(timer)
      socket.destroy()
    }
    return {is: `${host}:${port} takes connections, in ${Math.round(performance.now() - began)} ms`}
  }

  async #speak() {
    const cause = await causeAt(this.#backend, this.#signal, this.#timeFor(answering))
    if (cause) throw new Wrong(cause)
    // The next step detects a port that never answers.
    return {is: this.#backend.tls ? 'no fault of the certificate is found' : 'neither TLS nor HTTP/1'}
  }

  async #open(): Promise<{is: string; given: ClientHttp2Session}> {
    const patience = AbortSignal.any([this.#signal, AbortSignal.timeout(this.#timeFor(connecting))])
    try {
      const session = await openSession(this.#backend.url, patience)
      const protocol = (session.socket as TLSSocket).getProtocol?.()
      return {is: `it speaks HTTP/2 ${protocol ? `over ${protocol}` : 'in the clear'}`, given: session}
    } catch (error) {
      if (patience.aborted) throw new Wrong('SILENT')
      const cause = causeIn(textOf(error))
      throw new Wrong(cause === undefined || cause === 'NO_SUCH_HOST' ? 'CLOSED' : cause)
    }
  }

  async #fetchToken() {
    const {audience} = this.#backend
    if (!audience) return {is: 'none is sent'}
    const source = new IdTokens(credentialsOf(this.#config)).for(audience)
    try {
      this.#token = await source.token(commandLife(this.#signal, this.#deadline))
    } catch (error) {
      if (this.#signal.aborted) throw new Wrong('NO_CREDENTIALS')
      throw error instanceof Fault ? new Wrong('NO_CREDENTIALS') : error
    }
    const account = emailIn(this.#token)
    this.#place = {...this.#place, account: account ?? this.#place.account}
    return {is: `of ${account ?? 'an account'}, for the audience "${audience}"`}
  }

  async #ask(session: ClientHttp2Session): Promise<{is: string; given: RawAnswer}> {
    const answer = await this.#call(session, '/grpc.health.v1.Health/Check', new Uint8Array())
    if (answer.status !== undefined) return {is: 'a gRPC server answers', given: answer}
    throw new Wrong(this.#notGrpc(answer))
  }

  /** The problem, if no gRPC server has answered. */
  #notGrpc({http, headers, body}: RawAnswer): TroubleName {
    if (http === 401 || http === 403) {
      if (!this.#token) return 'TOKEN_WANTED'
      return http === 401 ? 'AUDIENCE' : 'INVOKER'
    }
    if (http === 404 && /^Google Frontend$/i.test(String(headers.server ?? ''))) return 'NO_SUCH_SERVICE'
    const isProxys = http === 502 || http === 503 || http === 504
    return isProxys && !brokenOff.test(body.toString('latin1')) ? 'NOT_STARTED' : 'NOT_END_TO_END'
  }

  /** Checks optional services of a working server: health and reflection. */
  async #look(session: ClientHttp2Session, health: RawAnswer): Promise<void> {
    const state = firstMessage(health)?.[1]
    if (health.status !== 0) this.#tell('health', 'note', 'NO_HEALTH')
    else if (state === 1) this.checks.push({what: 'health', state: 'ok', is: 'SERVING'})
    else this.#tell('health', 'wrong', 'UNHEALTHY')
    const services = await this.#services(session).catch(() => undefined)
    if (!services) this.#tell('reflection', 'note', 'NO_REFLECTION')
    else this.checks.push({what: 'reflection', state: 'ok', is: services.join(', ')})
  }

  async #services(session: ClientHttp2Session): Promise<string[] | undefined> {
    for (const version of ['v1', 'v1alpha']) {
      const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`
      // list_services: ""
      const answer = await this.#call(session, path, Uint8Array.of(0x3a, 0))
      const bytes = answer.status === 0 ? firstMessage(answer) : undefined
      if (bytes) return servicesIn(bytes)
    }
    return undefined
  }

  async #call(session: ClientHttp2Session, path: string, message: Uint8Array): Promise<RawAnswer> {
    const headers: Record<string, string> = this.#token ? {[this.#backend.tokenHeader]: `Bearer ${this.#token}`} : {}
    return await rawCall(session, path, message, headers, this.#signal)
  }
}

/** The address of a backend, and the Cloud Run service that its URL names. */
export function placeOf(backend: Backend): Place {
  const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(backend.address) ?? []
  const named = /^(.+)-\d{6,}\.([a-z0-9-]+)\.run\.app$/.exec(host)
  const hashed = /^(.+)-[a-z0-9]{10}-[a-z]{2,3}\.a\.run\.app$/.exec(host)
  return {
    backend,
    host,
    port: Number(port),
    service: named?.[1] ?? hashed?.[1] ?? 'SERVICE',
    region: named?.[2] ?? 'REGION',
    account: 'NAME@PROJECT.iam.gserviceaccount.com',
  }
}

/** The text of an error, or of its AggregateError's parts: a name can have several addresses. */
function textOf(error: unknown): string {
  const {message = '', code = '', errors = []} = error as {message?: string; code?: string; errors?: Error[]}
  return [code, message, ...errors.map(({message}) => message)].join(' ')
}

/** The e-mail address in an ID token, which is not verified. */
function emailIn(token: string): string | undefined {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).email
  } catch {
    return undefined
  }
}

async function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const onAbort = () => late.reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, {once: true})
  try {
    return await Promise.race([work, late.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
    late.promise.catch(() => {})
  }
}

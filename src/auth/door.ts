import type {IncomingHttpHeaders} from 'node:http'
import type {Caller} from '../core/caller.ts'
import type {AuthConfig} from '../core/config.ts'
import {Contract, contractOf, uncheckable} from '../core/contract.ts'
import {errorDomain, Fault} from '../core/fault.ts'
import {ApiKeys} from './api-keys.ts'
import type {KeySetTimes} from './key-set.ts'
import {denied, unauthenticated} from './refusals.ts'
import {resourceUrl} from './resource.ts'
import {type Access, Rules} from './rules.ts'
import {Tokens} from './tokens.ts'
import {Webhook} from './webhooks.ts'

/** The parts of a request that can authenticate its caller. */
export interface Proofs {
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as received. */
  readonly rawHeaders: readonly string[]
  readonly signal: AbortSignal
  /** The whole body as received. It can still be read afterwards. @param limit in bytes @throws {Fault} 413, 429 */
  rawBody(limit: number): Promise<Buffer>
  /** The URL of the API as the caller sees it, without a trailing slash. */
  readonly resource: string
  /** Called with the verified caller, before its permissions are checked. */
  identified(caller: Caller): void
  /** Called with problems of the files of keys and secrets, for the operator. */
  report(problem: string): void
}

/** Authenticates and authorizes each request. */
export interface Door {
  /**
   * Admits a request if its verified caller may do what it asks for, or if that is open to anonymous callers.
   * @throws {Fault} 401, 403, or 503 when the keys of an issuer are unavailable
   */
  admit(proofs: Proofs, access: Access): void | Promise<void>
  /** Whether `access` needs no credentials. */
  isOpen(access: Access): boolean
  /**
   * Checks that `caller` may call the method `name` (`pkg.Service/Method`), for whichever function makes the call.
   * @throws {Fault} 401, 403
   */
  checkCall(caller: Caller | undefined, name: string): void
  /** Whether `caller` may call the method `name`. */
  may(caller: Caller | undefined, name: string): boolean
}

/**
 * The door of `config`.
 * @param contract who may call, by the protos
 * @throws {ConfigError} for files of keys or secrets that cannot be used
 */
export function doorFor(config: AuthConfig, times: Partial<KeySetTimes> = {}, contract = new Contract()): Door {
  return config.mode === 'jwt' ? new CheckedDoor(config, contract, times) : new OpenDoor(config, contract)
}

/** Authenticates nobody: the platform does, or nobody has to. */
class OpenDoor implements Door {
  readonly #config: AuthConfig
  readonly #contract: Contract

  constructor(config: AuthConfig, contract: Contract) {
    this.#config = config
    this.#contract = contract
  }

  admit(): void {}

  isOpen(): boolean {
    return true
  }

  checkCall(_caller: Caller | undefined, name: string): void {
    const why = uncheckable(this.#config, this.#contract, name)
    if (why) throw denied(why)
  }

  may(_caller: Caller | undefined, name: string): boolean {
    return !uncheckable(this.#config, this.#contract, name)
  }
}

/** The parts of a runtime that a door needs. */
interface Guarded {
  readonly config: {readonly auth: AuthConfig}
}

const doors = new WeakMap<Guarded, Door>()

/**
 * The door of `runtime`: one for all of its functions.
 * @throws {ConfigError} for files of keys or secrets that cannot be used
 */
export function doorOf(runtime: Guarded): Door {
  let door = doors.get(runtime)
  if (!door) {
    door = doorFor(runtime.config.auth, {}, contractOf(runtime))
    doors.set(runtime, door)
  }
  return door
}

class CheckedDoor implements Door {
  readonly #rules: Rules
  readonly #tokens: Tokens
  readonly #keys: ApiKeys | undefined
  /** The token headers of issuers that do not use `authorization`. */
  readonly #headers: readonly string[]
  readonly #takesBearer: boolean
  readonly #webhooks: ReadonlyMap<string, Webhook>
  readonly #maxSignedBytes: number

  constructor(config: AuthConfig, contract: Contract, times: Partial<KeySetTimes>) {
    this.#rules = new Rules(config, contract)
    this.#tokens = new Tokens(config.issuers, times)
    this.#keys = config.apiKeys === undefined ? undefined : new ApiKeys(config.apiKeys)
    this.#headers = [...new Set(config.issuers.map(({header}) => header).filter((header) => header !== undefined))]
    this.#webhooks = new Map(config.webhooks.map((webhook) => [webhook.target, new Webhook(webhook)]))
    this.#maxSignedBytes = config.maxSignedBytes
    this.#takesBearer = config.issuers.some(({header}) => header === undefined)
  }

  admit(proofs: Proofs, access: Access): void | Promise<void> {
    try {
      const caller = this.#rules.isOpen(access) ? this.#anybody(proofs, access) : this.#callerOf(proofs, access)
      if (!(caller instanceof Promise)) return this.#check(caller, access, proofs)
      return caller
        .then((caller) => this.#check(caller, access, proofs))
        .catch((error) => this.#challenge(error, proofs))
    } catch (error) {
      return this.#challenge(error, proofs)
    }
  }

  isOpen(access: Access): boolean {
    return this.#rules.isOpen(access)
  }

  checkCall(caller: Caller | undefined, name: string): void {
    this.#rules.checkCall(caller, name)
  }

  may(caller: Caller | undefined, name: string): boolean {
    return this.#rules.may(caller, name)
  }

  #check(caller: Caller | undefined, access: Access, proofs: Proofs): void {
    if (caller) proofs.identified(caller)
    try {
      this.#rules.check(caller, access)
    } catch (error) {
      throw caller?.kind === 'token' ? this.#insufficient(error, proofs) : error
    }
  }

  /** Adds a challenge to the 403 for a bearer token that is valid (RFC 6750, 3.1). It does not tell which claim is missing. */
  #insufficient(error: unknown, {headers, resource}: Proofs): unknown {
    if (!(error instanceof Fault) || !this.#takesBearer || headers.authorization === undefined) return error
    const challenge = `Bearer realm="${errorDomain}", error="insufficient_scope", resource_metadata="${resourceUrl(resource)}"`
    return denied(error.hint ?? '', {'www-authenticate': challenge})
  }

  /** A 401 lists the accepted credentials (RFC 9110, 11.6.1; RFC 6750, 3; RFC 9728, 5.1), but does not tell what was wrong. */
  #challenge(error: unknown, {headers, resource}: Proofs): never {
    if (!(error instanceof Fault) || error.code !== 'UNAUTHENTICATED') throw error
    const invalid = headers.authorization === undefined ? '' : ', error="invalid_token"'
    const bearer = `Bearer realm="${errorDomain}"${invalid}, resource_metadata="${resourceUrl(resource)}"`
    const challenge = this.#takesBearer ? bearer : `ApiKey realm="${errorDomain}"`
    throw unauthenticated(error.hint ?? '', error.cause, {'www-authenticate': challenge})
  }

  /** Where no credentials are needed, invalid ones are ignored. */
  async #anybody(proofs: Proofs, access: Access): Promise<Caller | undefined> {
    try {
      return await this.#callerOf(proofs, access)
    } catch (error) {
      if (proofs.signal.aborted) throw error
      return undefined
    }
  }

  /** The first credentials decide: if they are invalid, others do not make up for them. */
  #callerOf(proofs: Proofs, {name}: Access): Caller | undefined | Promise<Caller | undefined> {
    const {headers} = proofs
    const webhook = name === undefined ? undefined : this.#webhooks.get(name)
    const signature = webhook && headers[webhook.header]
    if (webhook && signature !== undefined) return this.#webhookCaller(webhook, String(signature), proofs)
    for (const header of this.#headers) {
      const token = headers[header]
      if (token !== undefined) return this.#tokenCaller(String(token), header, proofs)
    }
    const {authorization, 'x-api-key': key} = headers
    if (this.#takesBearer && authorization !== undefined) {
      if (isTwice(proofs.rawHeaders, 'authorization')) throw unauthenticated('there are two Authorization headers')
      const token = /^bearer +(\S+)$/i.exec(authorization)?.[1]
      if (token !== undefined) return this.#tokenCaller(token, undefined, proofs)
      if (key === undefined) throw unauthenticated('Authorization has no bearer token')
    }
    if (this.#keys && key !== undefined) return this.#keys.callerOf(String(key), (problem) => proofs.report(problem))
    return undefined
  }

  async #webhookCaller(webhook: Webhook, signature: string, proofs: Proofs): Promise<Caller> {
    const body = await proofs.rawBody(this.#maxSignedBytes)
    const header = (name: string) => proofs.headers[name]?.toString()
    return await webhook.callerOf(signature, {header, body})
  }

  #tokenCaller(token: string, header: string | undefined, proofs: Proofs): Caller | Promise<Caller> {
    return this.#tokens.remembered(token, header) ?? this.#tokens.verify(token, header, proofs.signal)
  }
}

/** Whether a header occurs twice. Node keeps the first one and silently drops the second. */
function isTwice(rawHeaders: readonly string[], name: string): boolean {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index]!
    if (header.length === name.length && header.toLowerCase() === name) count++
  }
  return count > 1
}

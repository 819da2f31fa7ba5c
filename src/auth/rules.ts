import type {Caller, Claims} from '../core/caller.ts'
import type {AllowRule, AuthConfig} from '../core/config.ts'
import type {Contract} from '../core/contract.ts'
import type {Fault} from '../core/fault.ts'
import {denied, unauthenticated} from './refusals.ts'

/** What a request accesses, by the names that AUTH_PUBLIC, AUTH_ALLOW and AUTH_API_KEYS use. */
export interface Access {
  /** `pkg.Service/Method`, or the path of a function such as `/ping`. Without a name, only verified callers are admitted. */
  readonly name?: string
  /** The methods that a function calls for its caller. The function is open if all of them are. */
  readonly methods?: readonly string[]
  /** One of these methods will be called, which one is known later: it is for those who may call at least one. */
  readonly oneOf?: readonly string[]
  /** Whether it is always open, as for probes and for the document that tells where to log in. */
  readonly isOpen?: true
}

/** The contents of AUTH_PUBLIC and AUTH_ALLOW. */
type Given = Pick<AuthConfig, 'open' | 'allow' | 'opensByContract'>

/** Which requests need no credentials, and which claims others need: by the configuration, and by the options of methods. */
export class Rules {
  readonly #open: ReadonlySet<string>
  readonly #allow: readonly AllowRule[]
  readonly #opensByContract: boolean
  readonly #contract: Contract

  constructor({open, allow, opensByContract}: Given, contract: Contract) {
    this.#open = new Set(open)
    this.#allow = allow
    this.#opensByContract = opensByContract
    this.#contract = contract
  }

  /** Whether anonymous callers are admitted. Conditions on claims, or a closing option in the proto, have priority over AUTH_PUBLIC. */
  isOpen(access: Access): boolean {
    if (access.isOpen || access.oneOf?.some((name) => this.isOpen({name}))) return true
    return isNamed(access, (name) => this.#opens(name)) && !this.#namesOf(access).some((name) => this.#closes(name))
  }

  #opens(name: string): boolean {
    return isIn(this.#open, name) || (this.#opensByContract && this.#contract.isOpen(name))
  }

  #closes(name: string): boolean {
    return this.#rulesFor(name).length > 0 || this.#contract.isClosed(name)
  }

  /**
   * Checks that `caller` may make the request. Undefined is an anonymous caller.
   * @throws {Fault} 401 or 403
   */
  check(caller: Caller | undefined, access: Access): void {
    if (this.isOpen(access)) return
    if (!caller) throw unauthenticated('there is no token and no key')
    if (access.oneOf?.some((name) => this.may(caller, name))) return
    if (
      caller.kind === 'key' &&
      !caller.methods.includes('*') &&
      !isNamed(access, (name) => isIn(new Set(caller.methods), name))
    )
      throw denied(`the key "${caller.name}" is not for ${access.name ?? 'this path'}`)
    for (const name of this.#namesOf(access)) this.checkCall(caller, name)
  }

  /** Whether `caller` may call the method `name`. */
  may(caller: Caller | undefined, name: string): boolean {
    try {
      this.check(caller, {name})
      return true
    } catch {
      return false
    }
  }

  /**
   * Checks that `caller` may call the method `name`, by the conditions on claims alone.
   * @throws {Fault} 401 or 403
   */
  checkCall(caller: Caller | undefined, name: string): void {
    const rules = this.#rulesFor(name)
    if (rules.length > 0) {
      if (!caller) throw unauthenticated(`AUTH_ALLOW has conditions for ${name}, and there is no caller`)
      if (rules.some((rule) => !holds(rule, caller, name))) throw conditionsDenied('AUTH_ALLOW', name)
    }
    if (!this.#contract.isClosed(name)) return
    if (!caller) throw unauthenticated(`(grpc_functions.auth) asks for a caller of ${name}, and there is none`)
    const conditions = this.#contract.conditionsOf(name)
    // No configuration replaces the claims that a proto demands, and only a token has claims.
    const hasAll = conditions.length === 0 || (caller.kind === 'token' && meetsAll(caller.claims, conditions))
    if (!hasAll) throw conditionsDenied('(grpc_functions.auth)', name)
  }

  #namesOf({name, methods = []}: Access): readonly string[] {
    return name === undefined ? methods : [name, ...methods]
  }

  #rulesFor(name: string): readonly AllowRule[] {
    return this.#allow.filter(({target}) => target === name || target === serviceOf(name))
  }
}

function conditionsDenied(whose: string, name: string): Fault {
  return denied(`the caller does not meet the conditions of ${whose} for ${name}`)
}

/** A key has no claims, so its line has to name the method. A webhook is only for its own method. */
function holds({conditions}: AllowRule, caller: Caller, name: string): boolean {
  if (caller.kind === 'token') return meetsAll(caller.claims, conditions)
  return caller.kind === 'key' ? isIn(new Set(caller.methods), name) : caller.name === name
}

/** Whether `has` holds for the name, or for all methods that the function calls. */
function isNamed({name, methods = []}: Access, has: (name: string) => boolean): boolean {
  return (name !== undefined && has(name)) || (methods.length > 0 && methods.every(has))
}

/** Whether `names` contains the name, or that of its service. */
function isIn(names: ReadonlySet<string>, name: string): boolean {
  return names.has(name) || names.has(serviceOf(name))
}

/** The service of `pkg.Service/Method`. A path is returned unchanged, as it has no service. */
function serviceOf(name: string): string {
  return name.startsWith('/') ? name : name.slice(0, name.lastIndexOf('/'))
}

function meetsAll(claims: Claims, conditions: AllowRule['conditions']): boolean {
  return conditions.every(({claim, values}) => meets(claims, claim, values))
}

/** Whether the claim has one of `values`: as its text, as an item of its list, or as a word of a scope. */
function meets(claims: Claims, claim: string, values: readonly string[]): boolean {
  // An address that is not verified may belong to somebody else.
  if (claim === 'email' && !mayHaveEmail(claims)) return false
  const value = claimIn(claims, claim)
  const texts =
    claim === 'scope' || claim === 'scp' ? [value].flat().flatMap((text) => String(text).split(' ')) : [value].flat()
  return texts.some((text) => ['string', 'number', 'boolean'].includes(typeof text) && values.includes(String(text)))
}

/** Some issuers write `email_verified` as text, and not all have it. */
function mayHaveEmail({email_verified: verified}: Claims): boolean {
  return verified === undefined || verified === true || verified === 'true'
}

/** Finds a claim by its whole name, or else by a path with dots: `realm_access.roles`. */
function claimIn(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Claims)[part]
  }
  return value
}

import type {Caller, Claims} from '../core/caller.ts'
import type {AllowRule} from '../core/config.ts'
import type {Fault} from '../core/fault.ts'
import {denied, unauthenticated} from './refusals.ts'

/** What a request is for, in the names that AUTH_PUBLIC, AUTH_ALLOW and the lines of AUTH_API_KEYS have for it. */
export interface Access {
  /** `pkg.Service/Method`, or the path of a function such as `/ping`. What has none is closed to all but verified callers. */
  readonly name?: string
  /** The methods that a function calls for its caller: to open all of them opens the function. */
  readonly methods?: readonly string[]
  /** Whether it is open whatever is configured: for probes, and for those who want to know where to log in. */
  readonly isOpen?: true
}

/** Which requests need no proof, and what is asked of claims. */
export class Rules {
  readonly #open: ReadonlySet<string>
  readonly #allow: readonly AllowRule[]

  constructor({open, allow}: {readonly open: readonly string[]; readonly allow: readonly AllowRule[]}) {
    this.#open = new Set(open)
    this.#allow = allow
  }

  /** Whether anybody may: conditions on claims close what is open. */
  isOpen(access: Access): boolean {
    if (access.isOpen) return true
    return isNamed(access, this.#open) && !this.#namesOf(access).some((name) => this.#rulesFor(name).length > 0)
  }

  /**
   * Refuses a request of `caller`; undefined is nobody in particular.
   * @throws {Fault} 401 or 403
   */
  check(caller: Caller | undefined, access: Access): void {
    if (this.isOpen(access)) return
    if (!caller) throw unauthenticated('there is no token and no key')
    if (caller.kind === 'key' && !caller.methods.includes('*') && !isNamed(access, new Set(caller.methods)))
      throw denied(`the key "${caller.name}" is not for ${access.name ?? 'this path'}`)
    for (const name of this.#namesOf(access)) this.checkCall(caller, name)
  }

  /**
   * Refuses a call of the method `name` for `caller`, by the conditions alone.
   * @throws {Fault} 401 or 403
   */
  checkCall(caller: Caller | undefined, name: string): void {
    const rules = this.#rulesFor(name)
    if (rules.length === 0) return
    if (!caller) throw unauthenticated(`AUTH_ALLOW has conditions for ${name}, and there is no caller`)
    const refused = rules.some((rule) => !holds(rule, caller, name))
    if (refused) throw conditionsDenied(name)
  }

  #namesOf({name, methods = []}: Access): readonly string[] {
    return name === undefined ? methods : [name, ...methods]
  }

  #rulesFor(name: string): readonly AllowRule[] {
    return this.#allow.filter(({target}) => target === name || target === serviceOf(name))
  }
}

function conditionsDenied(name: string): Fault {
  return denied(`the caller does not meet the conditions of AUTH_ALLOW for ${name}`)
}

/** A key has no claims: its line has to name the method. A webhook is for its one method. */
function holds({conditions}: AllowRule, caller: Caller, name: string): boolean {
  if (caller.kind === 'token') return conditions.every(({claim, values}) => meets(caller.claims, claim, values))
  return caller.kind === 'key' ? isNamed({name}, new Set(caller.methods)) : caller.name === name
}

function isNamed({name, methods = []}: Access, names: ReadonlySet<string>): boolean {
  const has = (one: string) => names.has(one) || names.has(serviceOf(one))
  return (name !== undefined && has(name)) || (methods.length > 0 && methods.every(has))
}

/** The service of `pkg.Service/Method`; of a path nothing that could be in a list. */
function serviceOf(name: string): string {
  return name.startsWith('/') ? name : name.slice(0, name.lastIndexOf('/'))
}

/** Whether the claim has one of `values`: as text, in a list, or among the words of a scope. */
function meets(claims: Claims, claim: string, values: readonly string[]): boolean {
  // Whoever signs up can give any address, until it is verified.
  if (claim === 'email' && claims.email_verified === false) return false
  const value = claimIn(claims, claim)
  const texts =
    claim === 'scope' || claim === 'scp' ? [value].flat().flatMap((text) => String(text).split(' ')) : [value].flat()
  return texts.some((text) => ['string', 'number', 'boolean'].includes(typeof text) && values.includes(String(text)))
}

/** By its whole name, or else by names with dots between them: `realm_access.roles`. */
function claimIn(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Claims)[part]
  }
  return value
}

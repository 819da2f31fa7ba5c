import {doorOf} from '../auth/door.ts'
import type {Access} from '../auth/rules.ts'
import type {AllowRule, Config, SecurityScheme} from '../core/config.ts'
import {contractOf} from '../core/contract.ts'
import type {Handler, Scope} from './scope.ts'

/** The access that a call of `handler` with `scope` needs. */
export function accessOf({access = {}}: Handler, scope: Scope): Access {
  return typeof access === 'function' ? access(scope) : access
}

/** `handler` with a name for AUTH_PUBLIC and the like, such as `/ping`. */
export function named(name: string, handler: Handler): Handler {
  const access = (scope: Scope) => ({...accessOf(handler, scope), name})
  return Object.assign((scope: Scope) => handler(scope), {...handler, access})
}

/** The security schemes of the API, for its OpenAPI document. Each alone is enough. */
export interface Security {
  /** Undefined leaves them out of the document. */
  readonly security: readonly SecurityScheme[] | undefined
  /** Whether anybody may call the method `name` (`pkg.Service/Method`). */
  isOpen(name: string): boolean
  /** The claims that a method's proto requires: scopes by their names, other claims as `hd=example.com`. */
  rolesOf(name: string): readonly string[]
  /** The signature header of the webhook that may call the method `name`; undefined if there is none. */
  signatureOf(name: string): string | undefined
}

/** The credentials that the door of `runtime` accepts. OPENAPI_SECURITY overrides them, for a proxy in front with its own. */
export function securityOf(runtime: {readonly config: Pick<Config, 'auth' | 'openApi'>}): Security {
  const {auth, openApi} = runtime.config
  const door = doorOf(runtime)
  const contract = contractOf(runtime)
  const rolesOf = (name: string) => contract.conditionsOf(name).map(roleOf)
  const signatureOf = (name: string) => auth.webhooks.find(({target}) => target === name)?.header
  const told = {rolesOf, signatureOf}
  if (auth.mode !== 'jwt') return {security: openApi.security, isOpen: (name) => contract.isOpen(name), ...told}
  const schemes: SecurityScheme[] = []
  if (auth.issuers.some(({header}) => header === undefined)) schemes.push({type: 'http', scheme: 'bearer'})
  if (auth.apiKeys !== undefined) schemes.push({type: 'apiKey', in: 'header', name: 'x-api-key'})
  const security = openApi.security ?? (schemes.length > 0 ? schemes : undefined)
  return {security, isOpen: (name) => door.isOpen({name}), ...told}
}

function roleOf({claim, values}: AllowRule['conditions'][number]): string {
  const text = values.join('|')
  return claim === 'scope' || claim === 'scp' ? text : `${claim}=${text}`
}

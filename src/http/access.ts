import {doorOf} from '../auth/door.ts'
import type {Access} from '../auth/rules.ts'
import type {AllowRule, Config, SecurityScheme} from '../core/config.ts'
import {contractOf} from '../core/contract.ts'
import type {Handler, Scope} from './scope.ts'

/** The access that `scope` needs, when `handler` is called with it. */
export function accessOf({access = {}}: Handler, scope: Scope): Access {
  return typeof access === 'function' ? access(scope) : access
}

/** `handler` under a name of its own, such as `/ping`, by which AUTH_PUBLIC and the like mean it. */
export function named(name: string, handler: Handler): Handler {
  const access = (scope: Scope) => ({...accessOf(handler, scope), name})
  return Object.assign((scope: Scope) => handler(scope), {...handler, access})
}

/** The security schemes of the API, for its OpenAPI document. Each alone is enough. */
export interface Security {
  /** Undefined: the document has none. */
  readonly security: readonly SecurityScheme[] | undefined
  /** Whether anybody may call the method `name` (`pkg.Service/Method`). */
  isOpen(name: string): boolean
  /** What its proto asks of the token of a caller: scopes by their names, other claims as `hd=example.com`. */
  rolesOf(name: string): readonly string[]
  /** The header with the signature of a service that may call the method `name`; undefined: there is no such service. */
  signatureOf(name: string): string | undefined
}

/** The proofs that the door of `runtime` takes; OPENAPI_SECURITY says it better where something else is in front. */
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

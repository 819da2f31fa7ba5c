import type {AuthConfig} from '../core/config.ts'
import {type Contract, contractOf, namedIn} from '../core/contract.ts'
import type {Logger} from '../core/log.ts'
import {ConfigError, nearest} from '../core/settings.ts'

/** The parts of a runtime that the check needs. */
interface Named {
  readonly config: {readonly auth: AuthConfig}
  readonly log: Pick<Logger, 'warn'>
}

/**
 * Checks the methods in AUTH_PUBLIC, AUTH_ALLOW and AUTH_WEBHOOK against the services that the functions of `runtime` call, as far as
 * these are known once the functions are made. Names that cannot be checked are logged.
 * @throws {ConfigError} for a method that its service does not have, and for a method in AUTH_PUBLIC that its proto closes
 */
export function checkNames(runtime: Named): void {
  const {auth} = runtime.config
  const named = namedIn(auth)
  if (named.length === 0) return
  const contract = contractOf(runtime)
  const problems = [
    ...auth.open.filter((name) => contract.isClosed(name)).map(closed),
    ...named.flatMap(misspelt(contract)),
  ]
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  if (contract.isWhole) return
  const {names} = contract
  const unknown = named.filter(({name}) => !names.has(name))
  if (unknown.length === 0) return
  const texts = unknown.map(({variable, name}) => `${variable} names ${name}`)
  runtime.log.warn(
    `${texts.join(', ')}: no client of this function calls it, so nobody has checked whether it exists. If it is misspelt, it has no effect`,
  )
}

function closed(name: string): string {
  return `AUTH_PUBLIC: "${name}" is closed by its option (grpc_functions.auth), and configuration cannot open it`
}

/** A line for a method that a known service does not have. */
function misspelt({names, isWhole}: Contract) {
  return ({variable, name}: {readonly variable: string; readonly name: string}): string[] => {
    const service = name.split('/')[0]!
    if (isWhole || service === name || names.has(name) || !names.has(service)) return []
    const known = [...names].filter((one) => one.startsWith(`${service}/`))
    return [`${variable}: there is no method "${name}": did you mean ${nearest(name, known)}?`]
  }
}

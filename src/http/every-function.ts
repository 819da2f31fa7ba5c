import {ConfigError} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {named} from './access.ts'
import type {Handler, Scope, Serving} from './scope.ts'

/** The FUNCTION_TARGET that means all functions of the table at once, unless one of them has this name. */
export const everyName = 'all'

/**
 * Combines all functions of a table, for development: `app` (or else `gateway`) as it is deployed, and every other function at its name
 * unless that path is taken. A function without its configuration answers with an error that says so.
 * @throws any error of a factory, and {ConfigError} for `app` or `gateway`
 */
export function everyFunction<R extends Pick<Serving, 'log'>>(
  runtime: R,
  functions: Readonly<Record<string, (runtime: R) => Handler>>,
): Handler {
  const {app, gateway, ...others} = functions
  const rest: Handler =
    (app ?? gateway)?.(runtime) ?? Object.assign(() => nothingHere(Object.keys(others)), {unrouted: true})
  const handlers = new Map(
    Object.entries(others)
      .filter(([name]) => !rest.paths?.includes(`/${name}`))
      .map(([name, make]) => [`/${name}`, named(`/${name}`, made(name, make, runtime))]),
  )
  rest.beside?.(handlers)
  const choose = (scope: Scope) => {
    const chosen = chosenBy(rest, scope)
    const {prepare} = chosen
    const orOther = (handler: Handler) => (handler.unrouted && handlers.get(scope.path)) || handler
    return prepare
      ? Object.assign((scope: Scope) => chosen(scope), chosen, {
          prepare: async (scope: Scope) => orOther(await prepare(scope)),
        })
      : orOther(chosen)
  }
  const webSockets = [rest, ...handlers.values()].some((handler) => handler.webSockets)
  return Object.assign((scope: Scope) => choose(scope)(scope), {choose, errorShape: rest.errorShape, webSockets})
}

function chosenBy(handler: Handler, scope: Scope): Handler {
  let chosen = handler
  while (chosen.choose) chosen = chosen.choose(scope)
  return chosen
}

function made<R extends Pick<Serving, 'log'>>(name: string, make: (runtime: R) => Handler, runtime: R): Handler {
  try {
    return make(runtime)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const {message} = error
    runtime.log.warn(`/${name} is not served: ${message}`)
    return () => {
      throw new Fault('UNAVAILABLE', `/${name} is not served: ${message}`)
    }
  }
}

function nothingHere(names: readonly string[]): never {
  throw new Fault(
    'NOT_FOUND',
    `There is nothing at this path: expected one of ${names.map((name) => `/${name}`).join(', ')}`,
  )
}

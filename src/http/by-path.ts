import {named} from './access.ts'
import type {Handler, Scope} from './scope.ts'

/**
 * Several functions behind one entry point: each of `routes` at its path, and `rest` at every other one.
 * @param routes by the whole path, such as `/health`, each as what makes it from `runtime`
 * @param rest is told which paths it never gets, so that it can refuse what nobody would reach there
 * @throws what the making of a function throws
 * @example
 * register(runtime, {
 *   app: (runtime) => byPath(runtime, {'/health': health}, (runtime, paths) => gateway(runtime, {schema, ...paths})),
 * })
 */
export function byPath<Runtime>(
  runtime: Runtime,
  routes: Readonly<Record<string, (runtime: Runtime) => Handler>>,
  rest: (runtime: Runtime, paths: {readonly taken: readonly string[]}) => Handler,
): Handler {
  const taken = Object.keys(routes)
  const handlers = new Map(Object.entries(routes).map(([path, make]) => [path, named(path, make(runtime))]))
  const others = rest(runtime, {taken})
  const choose = ({path}: Scope) => handlers.get(path) ?? others
  return Object.assign((scope: Scope) => choose(scope)(scope), {
    choose,
    errorShape: others.errorShape,
    webSockets: others.webSockets,
  })
}

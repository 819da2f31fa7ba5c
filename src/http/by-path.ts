import {named} from './access.ts'
import type {Handler, Scope} from './scope.ts'

/** What the last of several functions knows of the others. */
export interface Others {
  /** Their paths. */
  readonly taken: readonly string[]
  /** Each of them by its path. */
  readonly functions: ReadonlyMap<string, Handler>
}

/**
 * Several functions behind one entry point: each of `routes` at its path, and `rest` at every other one.
 * @param routes by the whole path, such as `/health`, each as what makes it from `runtime`
 * @param rest is told of the others: which paths it never gets, so that it can refuse what nobody would reach there
 * @throws what the making of a function throws
 * @example
 * register(runtime, {
 *   app: (runtime) => byPath(runtime, {'/health': health}, (runtime, others) => gateway(runtime, {schema, ...others})),
 * })
 */
export function byPath<Runtime>(
  runtime: Runtime,
  routes: Readonly<Record<string, (runtime: Runtime) => Handler>>,
  rest: (runtime: Runtime, others: Others) => Handler,
): Handler {
  const taken = Object.keys(routes)
  const handlers = new Map(Object.entries(routes).map(([path, make]) => [path, named(path, make(runtime))]))
  const others = rest(runtime, {taken, functions: handlers})
  const choose = ({path}: Scope) => handlers.get(path) ?? others
  return Object.assign((scope: Scope) => choose(scope)(scope), {
    choose,
    errorShape: others.errorShape,
    webSockets: others.webSockets,
    beside: others.beside,
    paths: others.paths,
  })
}

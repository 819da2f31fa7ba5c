import {named} from './access.ts'
import type {Handler, Scope} from './scope.ts'

/** The other functions, for the last of several functions. */
export interface Others {
  /** Their paths. */
  readonly taken: readonly string[]
  /** Each of them by its path. */
  readonly functions: ReadonlyMap<string, Handler>
}

/**
 * Combines several functions behind one entry point: each of `routes` at its path, and `rest` at every other path.
 * @param routes maps each whole path, such as `/health`, to a factory of its function
 * @param rest factory of the last function. It gets the other paths, so that it can refuse rules that no request would reach
 * @throws any error of a factory
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

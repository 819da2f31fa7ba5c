import './node-version.js'
import {existsSync} from 'node:fs'
import {createRequire} from 'node:module'
import {dirname, join} from 'node:path'
import type {Runtime, RuntimeOptions} from './clients/runtime.ts'
import type {Handler} from './http/scope.ts'

const require = createRequire(import.meta.url)

/** Whether this file runs as part of a build, which is a script rather than a module. */
const isBuilt = typeof __dirname === 'string'

/**
 * Starts a project's deployed entry point: does the same as `run`, or starts the build that `grpc-functions build` has made from the
 * same file. Loading this file loads nothing else of the library, so that a start from a build is fast. The build is used only on
 * Cloud Run (K_SERVICE is set): on a developer's machine the source runs, even beside an old build. A Node that is too old ends the
 * process with one line.
 * @param folder the folder of the file that calls: `import.meta.dirname`, or `__dirname` in CommonJS
 * @param environment `process.env`
 * @param functions maps each function's name to a factory. Only the deployed function's factory is called: let it require
 * the function's code
 * @param options makes the options of the runtime. It too is only called where the functions run: let it require what it needs
 * @example
 * import {createRequire} from 'node:module'
 * import {start} from 'grpc-functions/start'
 *
 * const require = createRequire(import.meta.url)
 *
 * start(import.meta.dirname, process.env, {
 *   gateway: (runtime) => require('grpc-functions/gateway').gateway(runtime, {schema: 'src/gen/descriptors.binpb'}),
 * })
 */
export function start(
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
  functions: Readonly<Record<string, (runtime: Runtime) => Handler>>,
  options: () => RuntimeOptions = () => ({}),
): void {
  const build = isBuilt || !environment.K_SERVICE ? undefined : buildOf(folder)
  if (build) require(build)
  else (require('./run.ts') as typeof import('./run.ts')).run(environment, functions, options())
}

/** dist/deployed.js of the project that `folder` is in; undefined when there is none. */
function buildOf(folder: string): string | undefined {
  for (let root = folder; root !== dirname(root); root = dirname(root)) {
    const build = join(root, 'dist/deployed.js')
    if (existsSync(build)) return build
    if (existsSync(join(root, 'package.json'))) return undefined
  }
  return undefined
}

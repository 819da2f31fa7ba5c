/** The deployed program: reads the environment, and registers the function that FUNCTION_TARGET names. Other functions are not loaded. */
import {createRequire} from 'node:module'
import type {Runtime} from './clients/runtime.ts'
import type {Handler} from './http/scope.ts'
import {run} from './run.ts'

const require = createRequire(import.meta.url)

/** Every function by name, each from a file in functions/. A function of your own is one more row. */
const functions: Readonly<Record<string, (runtime: Runtime) => Handler>> = {
  app: (runtime) => require('./functions/app.ts').app(runtime),
  finalized: (runtime) => require('./functions/finalized.ts').finalized(runtime),
  gateway: (runtime) => require('./functions/gateway.ts').gateway(runtime),
  health: (runtime) => require('./functions/health.ts').health(runtime),
  mcp: (runtime) => require('./functions/mcp.ts').mcp(runtime),
  ping: (runtime) => require('./functions/ping.ts').ping(runtime),
  upload: (runtime) => require('./functions/upload.ts').upload(runtime),
}

run(process.env, functions)

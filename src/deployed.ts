/** What is deployed: reads the environment, registers the function that FUNCTION_TARGET names, and loads no other one's code. */
import {createRequire} from 'node:module'
import {setFlagsFromString} from 'node:v8'
import {createRuntime, type Runtime} from './clients/runtime.ts'
import {readConfig} from './core/config.ts'
import {register} from './framework/register.ts'
import type {Handler} from './http/scope.ts'

// V8 13.6 collects short-lived buffers with its slowest collector unless the young generation is kept small: uploads cost
// 40 % more CPU (nodejs/node#61967). NODE_OPTIONS refuses the flag, and it has to be set before there is much of a heap.
if (process.versions.v8.startsWith('13.6.')) setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')

const require = createRequire(import.meta.url)

/** Every function by its name: a file in functions/ that exports it. A function of your own is one more row. */
const functions: Readonly<Record<string, (runtime: Runtime) => Handler>> = {
  app: (runtime) => require('./functions/app.ts').app(runtime),
  gateway: (runtime) => require('./functions/gateway.ts').gateway(runtime),
  health: (runtime) => require('./functions/health.ts').health(runtime),
  ping: (runtime) => require('./functions/ping.ts').ping(runtime),
  upload: (runtime) => require('./functions/upload.ts').upload(runtime),
}

try {
  register(createRuntime(readConfig(process.env, process.argv)), functions)
} catch (error) {
  const line = error instanceof Error && error.name === 'ConfigError' ? error.message : (error as Error).stack
  process.stderr.write(`${line}\n`)
  process.exit(1)
}

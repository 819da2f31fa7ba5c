/** Registers the function that FUNCTION_TARGET names, and loads no other one's code. */
import {createRequire} from 'node:module'
import {setFlagsFromString} from 'node:v8'

// V8 13.6 collects short-lived buffers with its slowest collector unless the young generation is kept small: uploads cost
// 40 % more CPU (nodejs/node#61967). NODE_OPTIONS refuses the flag, and it has to be set before there is much of a heap.
if (process.versions.v8.startsWith('13.6.')) setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')

try {
  const {register} = createRequire(import.meta.url)('./register.ts') as typeof import('./register.ts')
  register()
} catch (error) {
  const line = error instanceof Error && error.name === 'ConfigError' ? error.message : (error as Error).stack
  process.stderr.write(`${line}\n`)
  process.exit(1)
}

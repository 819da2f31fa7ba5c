import {setFlagsFromString} from 'node:v8'
import {createRuntime, type Runtime, type RuntimeOptions} from './clients/runtime.ts'
import {readConfig} from './core/config.ts'
import {inSource} from './core/source-places.ts'
import {register} from './framework/register.ts'
import type {Handler} from './http/scope.ts'

/**
 * Runs a deployed entry point: registers the function that FUNCTION_TARGET (or `--target`) names, with a runtime made from
 * `environment`. An invalid configuration ends the process, with one line for each problem.
 * @param functions maps each function's name to a factory. Only the deployed function's factory is called
 * @param options of the runtime
 * @example
 * run(process.env, {gateway: (runtime) => gateway(runtime, {schema: 'src/gen/descriptors.binpb'})})
 */
export function run(
  environment: Readonly<Record<string, string | undefined>>,
  functions: Readonly<Record<string, (runtime: Runtime) => Handler>>,
  options: RuntimeOptions = {},
): void {
  // V8 13.6 collects short-lived buffers with its slowest collector unless the young generation is kept small: uploads cost
  // 40 % more CPU (nodejs/node#61967). NODE_OPTIONS refuses the flag, and it has to be set before there is much of a heap.
  if (process.versions.v8.startsWith('13.6.')) setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')
  try {
    register(createRuntime(readConfig(environment, process.argv), options), functions)
  } catch (error) {
    const line =
      error instanceof Error && error.name === 'ConfigError' ? error.message : inSource((error as Error).stack ?? '')
    process.stderr.write(`${line}\n`)
    process.exit(1)
  }
}

import {createRuntime, type Runtime} from '../../src/clients/runtime.ts'
import {readConfig} from '../../src/core/config.ts'

/** A runtime with the configuration of `env`, without a log. */
export function runtimeOf(env: Readonly<Record<string, string | undefined>>): Runtime {
  return createRuntime(readConfig({LOG_LEVEL: 'silent', ...env}))
}

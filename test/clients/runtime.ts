import {createRuntime, type Runtime} from '../../src/clients/runtime.ts'
import {readConfig} from '../../src/core/config.ts'

/** A runtime whose configuration is `env`, and that logs nothing. */
export function runtimeOf(env: Readonly<Record<string, string | undefined>>): Runtime {
  return createRuntime(readConfig({LOG_LEVEL: 'silent', ...env}))
}

import {MethodOptionsSchema} from '@bufbuild/protobuf/wkt'
import type {Runtime} from '../clients/runtime.ts'
import {ConfigError} from '../core/config.ts'
import {contractOf, optionName, optionNumber, uncheckable} from '../core/contract.ts'
import {extensionNames} from '../transcoding/schema/extension-names.ts'
import type {Transcoder} from '../transcoding/transcoder.ts'

/**
 * Adds the options (grpc_functions.auth) of the served schema to the contract of `runtime`. If AUTH is not set, the log lists the
 * methods whose options are not enforced.
 * @throws {ConfigError} with a line for each malformed option, and for each method that demands verified callers while AUTH verifies none
 */
export function learnContract({registry, bindings}: Transcoder, runtime: Runtime): void {
  const {auth} = runtime.config
  const contract = contractOf(runtime)
  const names = extensionNames(registry, MethodOptionsSchema.typeName, optionNumber)
  const other = names.find((name) => name !== optionName)
  if (other)
    throw new ConfigError(`Option (${other}) has the number ${optionNumber}, which is taken by (${optionName})`)
  contract.learn([...registry.files].flatMap(({services}) => services))
  contract.isWhole = true
  if (!contract.hasOptions) return
  const served = [...new Set(bindings.map(({method: {name, parent}}) => `${parent.typeName}/${name}`))]
  const problems = served.map((name) => uncheckable(auth, contract, name)).filter((line) => line !== undefined)
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  const closed = served.filter((name) => contract.isClosed(name))
  if (auth.mode === 'none' && closed.length > 0)
    runtime.log.warn(`AUTH is not set: (${optionName}) is not enforced for ${closed.join(', ')}`)
}

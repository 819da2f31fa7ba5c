import {createRequire} from 'node:module'
import {type DescMethod, type DescService, getOption} from '@bufbuild/protobuf'
import type {AuthConfig} from './config.ts'
import {optionFields} from './option-fields.ts'
import {type AllowRule, ConfigError, conditionIn} from './settings.ts'

const require = createRequire(import.meta.url)

/** Who may call a method, by its option `(grpc_functions.auth)`. */
export interface MethodAuth {
  /** Anybody may call, without credentials. */
  readonly isOpen: boolean
  /** Claims that callers must have. If there are none and the method is not open, any verified caller may call. */
  readonly conditions: AllowRule['conditions']
}

export const optionName = 'grpc_functions.auth'

/** The extension number of the option. The generated code for it is loaded only if a method has the option. */
export const optionNumber = 73951

/**
 * The option of `method`; undefined where it has none.
 * @throws {Error} for an option with malformed or unknown contents
 */
function methodAuthOf(method: DescMethod): MethodAuth | undefined {
  if (optionFields(method, optionNumber).length === 0) return undefined
  const {auth} = require('../gen/grpc_functions/options_pb.js') as typeof import('../gen/grpc_functions/options_pb.js')
  const {public: isOpen, allow, $unknown} = getOption(method, auth)
  if ($unknown?.length) {
    throw new Error(
      `it has a field ${$unknown[0]!.no}, which grpc_functions/options.proto of this version does not have`,
    )
  }
  if (isOpen && allow.length > 0) throw new Error('expected "public" or "allow", not both')
  const conditions = allow.map((text) => {
    const condition = conditionIn(text)
    if (!condition) throw new Error(`allow: ${JSON.stringify(text)}: expected "claim=value" or "claim=value|value"`)
    return condition
  })
  return {isOpen, conditions}
}

/** Who may call, by the protos of the services that one runtime serves or calls. */
export class Contract {
  readonly #services = new Set<DescService>()
  readonly #auths = new Map<string, MethodAuth[]>()
  /** Whether it knows all services that the functions can call. Then an unknown name is misspelt. */
  isWhole = false

  /** Adds the options of `services`. @throws {ConfigError} with a line for each malformed option */
  learn(services: Iterable<DescService>): void {
    const problems: string[] = []
    for (const service of services) {
      if (this.#services.has(service)) continue
      this.#services.add(service)
      for (const method of service.methods) problems.push(...this.#learnMethod(method))
    }
    if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  }

  #learnMethod(method: DescMethod): string[] {
    try {
      const auth = methodAuthOf(method)
      if (!auth) return []
      const name = nameOf(method)
      // Two protos may declare the same method: both options apply.
      this.#auths.set(name, [...this.authsOf(name), auth])
      return []
    } catch (error) {
      const place = `${method.parent.file.name}.proto: ${method.parent.typeName}.${method.name}`
      return [`${place}: option (${optionName}): ${(error as Error).message}`]
    }
  }

  /** The names of services and methods. */
  get names(): ReadonlySet<string> {
    const services = [...this.#services]
    return new Set(services.flatMap(({typeName, methods}) => [typeName, ...methods.map(nameOf)]))
  }

  /** Whether any method has the option. */
  get hasOptions(): boolean {
    return this.#auths.size > 0
  }

  /** The options of the method `name` (`pkg.Service/Method`): none for most methods. */
  authsOf(name: string): readonly MethodAuth[] {
    return this.#auths.get(name) ?? none
  }

  /** Whether anybody may call the method `name`. */
  isOpen(name: string): boolean {
    const auths = this.authsOf(name)
    return auths.length > 0 && auths.every(({isOpen}) => isOpen)
  }

  /** Whether an option restricts who may call the method `name`. */
  isClosed(name: string): boolean {
    return this.authsOf(name).some(({isOpen}) => !isOpen)
  }

  /** The claims that callers of the method `name` must have. */
  conditionsOf(name: string): AllowRule['conditions'] {
    return this.authsOf(name).flatMap(({conditions}) => conditions)
  }
}

const none: readonly MethodAuth[] = []

function nameOf({name, parent}: DescMethod): string {
  return `${parent.typeName}/${name}`
}

/**
 * The reason why the method `name` cannot be called: its proto demands a verified caller, but AUTH verifies none. Undefined if it can
 * be called, also where AUTH is not set, which is never the case on Cloud Run.
 */
export function uncheckable({mode, isDecided}: Decision, contract: Contract, name: string): string | undefined {
  if (mode === 'jwt' || !isDecided || !contract.isClosed(name)) return undefined
  if (mode === 'iam' && contract.conditionsOf(name).length === 0) return undefined
  return `(${optionName}) of ${name} asks for callers that AUTH="${mode}" does not verify: expected AUTH="jwt"`
}

type Decision = Pick<AuthConfig, 'mode' | 'isDecided'>

/** The services and methods that AUTH_* variables name, so that they can be checked. */
export function namedIn({
  open,
  allow,
  webhooks,
}: Naming): readonly {readonly variable: string; readonly name: string}[] {
  return [
    ...open.map((name) => ({variable: 'AUTH_PUBLIC', name})),
    ...allow.map(({target}) => ({variable: 'AUTH_ALLOW', name: target})),
    ...webhooks.map(({target}) => ({variable: 'AUTH_WEBHOOK', name: target})),
  ].filter(({name}) => !name.startsWith('/'))
}

type Naming = Pick<AuthConfig, 'open' | 'allow' | 'webhooks'>

const contracts = new WeakMap<object, Contract>()

/** The contract of `runtime`: one for all of its functions. */
export function contractOf(runtime: object): Contract {
  let contract = contracts.get(runtime)
  if (!contract) {
    contract = new Contract()
    contracts.set(runtime, contract)
  }
  return contract
}

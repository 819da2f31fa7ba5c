import {createRequire} from 'node:module'
import {type DescMethod, getOption} from '@bufbuild/protobuf'
import {optionFields} from '../../core/option-fields.ts'
import {ConfigError, nearest, type ToolRule} from '../../core/settings.ts'
import type {NamedMethod} from '../../transcoding/mcp/tools.ts'

const require = createRequire(import.meta.url)

/** Limit for the name of a tool, in characters. Clients refuse longer ones. */
const maxName = 64

/**
 * The methods that are tools, by `rules`, or all of `methods` if there are no rules. Client-streaming methods cannot be tools, because
 * a call of a tool has its arguments only once.
 * @throws {ConfigError} with a line for each rule that matches no such method, and for a name that two methods have
 */
export function toolMethods(methods: readonly DescMethod[], rules: readonly ToolRule[]): readonly NamedMethod[] {
  const able = methods.filter(isAble)
  const options = new Map(able.map((method) => [method, optionOf(method)]))
  const known = [...new Set(able.flatMap((method) => [method.parent.typeName, nameOf(method)]))]
  const unknown = rules.filter(({target}) => !known.includes(target))
  if (unknown.length > 0) throw new ConfigError(unknown.map(({target}) => problemOf(target, methods, known)).join('\n'))
  const ruleOf = (method: DescMethod) =>
    rules.find(({target}) => target === nameOf(method)) ?? rules.find(({target}) => target === method.parent.typeName)
  const isSelected = (method: DescMethod) => {
    const rule = ruleOf(method)
    return options.get(method)?.hidden ? rule?.target === nameOf(method) : rules.length === 0 || rule !== undefined
  }
  const selected = able.filter(isSelected)
  const given = new Map(selected.map((method) => [method, ruleOf(method)?.name ?? options.get(method)?.name]))
  const used = new Set<string>()
  for (const name of given.values()) {
    if (name === undefined) continue
    if (used.has(name)) throw new ConfigError(`MCP_TOOLS: two methods have the name "${name}"`)
    used.add(name)
  }
  return selected.map((method) => ({method, name: given.get(method) ?? ownName(method, selected, used)}))
}

/** The names of the methods that cannot be tools. */
export function unableMethods(methods: readonly DescMethod[]): readonly string[] {
  return methods.filter((method) => !isAble(method)).map(nameOf)
}

/** The extension number of the option (grpc_functions.tool). The generated code for it is loaded only if a method has the option. */
const optionNumber = 73952

/** @throws {ConfigError} for a name that clients would refuse */
function optionOf(method: DescMethod): {readonly name?: string; readonly hidden: boolean} | undefined {
  if (optionFields(method, optionNumber).length === 0) return undefined
  const {tool} =
    require('../../gen/grpc_functions/options_pb.js') as typeof import('../../gen/grpc_functions/options_pb.js')
  const {name, hidden} = getOption(method, tool)
  if (name !== '' && !/^[\w-]{1,64}$/.test(name)) {
    throw new ConfigError(
      `${nameOf(method)}: (grpc_functions.tool) has the name ${JSON.stringify(name)}: expected up to ${maxName} letters, digits, _ and -`,
    )
  }
  return name === '' ? {hidden} : {name, hidden}
}

function isAble({methodKind}: DescMethod): boolean {
  return methodKind === 'unary' || methodKind === 'server_streaming'
}

/** `pkg.Service/Method`, as rules and access name it. */
export function nameOf({name, parent}: DescMethod): string {
  return `${parent.typeName}/${name}`
}

function problemOf(target: string, methods: readonly DescMethod[], known: readonly string[]): string {
  const isStream = methods.some((method) => nameOf(method) === target || method.parent.typeName === target)
  if (isStream) return `MCP_TOOLS: "${target}" takes a stream: expected a method that takes one message`
  return `MCP_TOOLS: no service or method "${target}" is served: did you mean ${nearest(target, known)}?`
}

/** `Service_Method`, with the package if two services have the same name. */
function ownName(method: DescMethod, all: readonly DescMethod[], used: Set<string>): string {
  const {parent} = method
  const isAmbiguous = all.some((other) => other.parent.name === parent.name && other.parent !== parent)
  const long = `${isAmbiguous ? parent.typeName.replaceAll('.', '_') : parent.name}_${method.name}`
  const base = fitting(long)
  let name = base
  for (let nth = 2; used.has(name); nth++) name = `${base.slice(0, maxName - 4)}_${nth}`
  used.add(name)
  return name
}

/** Shortens `name` to the limit: a hash of all of it, followed by its end, which is the most specific part. */
function fitting(name: string): string {
  if (name.length <= maxName) return name
  let hash = 0
  for (let index = 0; index < name.length; index++) hash = (Math.imul(hash, 31) + name.charCodeAt(index)) >>> 0
  const start = `${hash.toString(36)}_`
  return start + name.slice(start.length - maxName)
}

import type {DescMethod} from '@bufbuild/protobuf'
import {ConfigError, nearest, type ToolRule} from '../../core/settings.ts'
import type {NamedMethod} from '../../transcoding/mcp/tools.ts'

/** Limit for the name of a tool, in characters: clients refuse longer ones. */
const maxName = 64

/**
 * The methods that are tools, by `rules`; all of `methods` without one. Those that take a stream cannot be: a call of a tool has its
 * arguments once.
 * @throws {ConfigError} with a line for each rule that is for no such method, and for a name that two of them have
 */
export function toolMethods(methods: readonly DescMethod[], rules: readonly ToolRule[]): readonly NamedMethod[] {
  const able = methods.filter(isAble)
  const known = [...new Set(able.flatMap((method) => [method.parent.typeName, nameOf(method)]))]
  const unknown = rules.filter(({target}) => !known.includes(target))
  if (unknown.length > 0) throw new ConfigError(unknown.map(({target}) => problemOf(target, methods, known)).join('\n'))
  const ruleOf = (method: DescMethod) =>
    rules.find(({target}) => target === nameOf(method)) ?? rules.find(({target}) => target === method.parent.typeName)
  const selected = rules.length === 0 ? able : able.filter(ruleOf)
  const given = new Map(selected.map((method) => [method, ruleOf(method)?.name]))
  const used = new Set<string>()
  for (const name of given.values()) {
    if (name === undefined) continue
    if (used.has(name)) throw new ConfigError(`MCP_TOOLS: two methods have the name "${name}"`)
    used.add(name)
  }
  return selected.map((method) => ({method, name: given.get(method) ?? ownName(method, selected, used)}))
}

/** The methods of `methods` that no tool can be made of. */
export function unableMethods(methods: readonly DescMethod[]): readonly string[] {
  return methods.filter((method) => !isAble(method)).map(nameOf)
}

function isAble({methodKind}: DescMethod): boolean {
  return methodKind === 'unary' || methodKind === 'server_streaming'
}

function nameOf({name, parent}: DescMethod): string {
  return `${parent.typeName}/${name}`
}

function problemOf(target: string, methods: readonly DescMethod[], known: readonly string[]): string {
  const isStream = methods.some((method) => nameOf(method) === target || method.parent.typeName === target)
  if (isStream) return `MCP_TOOLS: "${target}" takes a stream: expected a method that takes one message`
  return `MCP_TOOLS: no service or method "${target}" is served: did you mean ${nearest(target, known)}?`
}

/** `Service_Method`, or with the package where two services have the same name. */
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

/** `name` if it is short enough; else its end, which says most, behind a number that is made of all of it. */
function fitting(name: string): string {
  if (name.length <= maxName) return name
  let hash = 0
  for (let index = 0; index < name.length; index++) hash = (Math.imul(hash, 31) + name.charCodeAt(index)) >>> 0
  const start = `${hash.toString(36)}_`
  return start + name.slice(start.length - maxName)
}

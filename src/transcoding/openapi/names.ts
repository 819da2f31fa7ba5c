import type {Binding} from '../rules/bindings.ts'
import type {Placement} from './paths.ts'

/**
 * Names operations: `Service_Method`, then `Service_Method_2` for an additional binding, with `_get` and so on for each method of a
 * `custom {kind: "*"}`. Services with the same short name are called by their full names.
 */
export function operationNames(bindings: readonly Binding[]): (placement: Placement) => string {
  const services = new Map<string, Set<string>>()
  const bases = new Map<Binding, string>()
  for (const {method} of bindings) {
    const {name, typeName} = method.parent
    services.set(name, (services.get(name) ?? new Set()).add(typeName))
  }
  const used = new Set<string>()
  for (const binding of bindings) {
    const {parent, name} = binding.method
    const service = services.get(parent.name)!.size > 1 ? parent.typeName.replaceAll('.', '_') : parent.name
    bases.set(binding, numbered(`${service}_${name}`, used))
  }
  return ({binding, method}) => bases.get(binding)! + (binding.httpMethod === '*' ? `_${method}` : '')
}

/** `base`, followed by the first number that makes it unique in `used`. Adds the name to `used`. */
export function numbered(base: string, used: Set<string>): string {
  let name = base
  for (let nth = 2; used.has(name); nth++) name = `${base}_${nth}`
  used.add(name)
  return name
}

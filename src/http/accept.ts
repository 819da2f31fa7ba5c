import Negotiator from 'negotiator'
import {Fault} from '../fault.ts'
import type {Scope} from './scope.ts'

/**
 * The one of `offered` that the caller likes best, by Accept with its q-values; the first where it says nothing.
 * @throws {Fault} 406 when it takes none of them
 */
export function preferred<T extends string>({headers}: Pick<Scope, 'headers'>, offered: readonly [T, ...T[]]): T {
  const best = new Negotiator({headers}).mediaType([...offered]) as T | undefined
  if (best) return best
  throw Fault.invalid('accept', `Accept is "${headers.accept}": there is ${offered.join(', ')}`, {http: 406})
}

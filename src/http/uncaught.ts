import {AsyncLocalStorage} from 'node:async_hooks'
import domain from 'node:domain'
import type {Fault} from '../fault.ts'

/** A request that something may go wrong for where nobody can catch it: in a timer, in an event's listener. */
export interface Answerable {
  /** Ends it now, with `fault` for an answer; false when it is over already. */
  fail(fault: Fault): boolean
}

const current = new AsyncLocalStorage<Answerable>()

/** Runs `work` so that whatever is thrown in what it begins is known to be `request`'s. */
export function inNameOf<T>(request: Answerable, work: () => T): T {
  return current.run(request, work)
}

/** The request in whose name the code runs that has just thrown; undefined for none. */
export function whose(): Answerable | undefined {
  return current.getStore()
}

/**
 * Has the framework run requests without domains, which it uses to the same end: they hook every promise of the process,
 * and so an upload cost 1.8 times the CPU, and a unary call a third more.
 */
export function withoutDomains(): void {
  const none = {on: () => none, run: (work: () => void) => work()}
  Object.assign(domain, {create: () => none})
}

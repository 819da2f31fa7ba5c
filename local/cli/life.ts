import {randomUUID} from 'node:crypto'
import type {Life} from '../../src/core/life.ts'

/**
 * The life of one command, as clients see it.
 * @param signal aborts when it has to end; its reason is a Fault
 * @param warn gets what clients tell of themselves
 */
export function commandLife(signal: AbortSignal, deadline: number, warn: (text: string) => void = () => {}): Life {
  const tell = (fields: unknown, text?: string) => warn(text ?? String(fields))
  const log = {trace() {}, debug() {}, info() {}, warn: tell, error: tell, fatal: tell} as unknown as Life['log']
  return {signal, deadline, log, id: randomUUID(), trace: {}, track: (work) => work, note() {}}
}

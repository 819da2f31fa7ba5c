import {randomUUID} from 'node:crypto'
import type {Life} from '../../src/core/life.ts'

/**
 * The request context of one command, for clients.
 * @param signal aborts to end the command; its reason is a Fault
 * @param warn is called with warnings of clients
 */
export function commandLife(signal: AbortSignal, deadline: number, warn: (text: string) => void = () => {}): Life {
  const tell = (fields: unknown, text?: string) => warn(text ?? String(fields))
  const log = {trace() {}, debug() {}, info() {}, warn: tell, error: tell, fatal: tell} as unknown as Life['log']
  return {signal, deadline, log, id: randomUUID(), trace: {}, track: (work) => work, note() {}}
}

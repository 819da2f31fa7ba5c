import type {Fault} from '../core/fault.ts'
import {atMost} from '../core/waiting.ts'
import type {RunningRequest} from './current-request.ts'

/** Each request that is being answered, and a promise that settles when its response has been sent. */
const open = new Map<RunningRequest, Promise<void>>()
let stopping = false

/** Whether the instance has stopped accepting requests. */
export function isStopping(): boolean {
  return stopping
}

/** Refuses new requests from now on. */
export function stopTaking(): void {
  stopping = true
}

/** Makes a shutdown wait for `request` until `done` settles. */
export function inFlight(request: RunningRequest, done: Promise<void>): void {
  open.set(request, done)
  done.finally(() => open.delete(request))
}

/** The number of requests that are being answered. */
export function requestsInFlight(): number {
  return open.size
}

/** Fails every request in flight with `fault`. */
export function failAll(fault: Fault): void {
  for (const request of open.keys()) request.fail(fault)
}

/** Waits at most `ms` until no request is in flight. */
export async function drained(ms: number): Promise<boolean> {
  return await atMost(ms, settled())
}

async function settled(): Promise<void> {
  while (open.size > 0) await Promise.all(open.values())
}

import type {DescMethod} from '@bufbuild/protobuf'
import type {Code} from '../../core/fault.ts'
import {type Interceptor, pathOf} from '../call.ts'

/** The calls of one method that ended with one code. */
export interface EndedCalls {
  readonly calls: number
  /** The sum of their latencies, in ms, including the waits for ID token and connection. */
  readonly latency: number
  /** The highest latency, in ms. */
  readonly maxLatency: number
}

/** The calls of one method. */
export interface MethodMetrics {
  /** Number of calls in flight. */
  readonly inFlight: number
  readonly ended: ReadonlyMap<Code, EndedCalls>
}

const byMethod = new Map<string, Row>()

/**
 * The calls of this instance so far, by method (`ping.PingService/Send`): how many are in flight, and count and latency by gRPC
 * code. The map is live: it changes as calls begin and end.
 * @example
 * for (const [method, {inFlight, ended}] of callMetrics()) {
 *   const failed = [...ended].filter(([code]) => code !== 'OK').reduce((sum, [, {calls}]) => sum + calls, 0)
 *   console.log(`${method}: ${inFlight} in flight, ${failed} failed`)
 * }
 */
export function callMetrics(): ReadonlyMap<string, MethodMetrics> {
  return byMethod
}

/** Counts calls and measures their latency, by method and code, without timers and in constant memory per row. */
export const metrics: Interceptor = ({method}) => {
  const row = rows.get(method) ?? rowOf(method)
  const began = performance.now()
  row.inFlight++
  return (code) => {
    row.inFlight--
    row.count(code, performance.now() - began)
  }
}

class Row implements MethodMetrics {
  inFlight = 0
  readonly ended = new Map<Code, {calls: number; latency: number; maxLatency: number}>()

  count(code: Code, latency: number): void {
    const row = this.ended.get(code)
    if (row) {
      row.calls++
      row.latency += latency
      row.maxLatency = Math.max(row.maxLatency, latency)
    } else this.ended.set(code, {calls: 1, latency, maxLatency: latency})
  }
}

const rows = new WeakMap<DescMethod, Row>()

/** A method of a descriptor set and the generated one of the same name share a row. */
function rowOf(method: DescMethod): Row {
  const name = pathOf(method).slice(1)
  const row = byMethod.get(name) ?? new Row()
  byMethod.set(name, row)
  rows.set(method, row)
  return row
}

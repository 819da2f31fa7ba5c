import {type DescMethod, fromBinary, type Message, toBinary} from '@bufbuild/protobuf'
import {status} from '@grpc/grpc-js'
import {Fault} from '../core/fault.ts'
import {telemetry} from '../core/telemetry/telemetry.ts'
import {type Call, type CallPool, type Interceptor, type Invoke, pathOf} from './call.ts'
import {Exchange} from './calls/exchange.ts'
import {Outgoing} from './calls/outgoing.ts'
import {Retries} from './calls/retries.ts'
import type {Connection} from './connections/connection.ts'
import {faultOf} from './status.ts'

/** `invoke` with `interceptors` around it, the first one outermost. */
export function intercepted(invoke: Invoke, interceptors: readonly Interceptor[]): Invoke {
  return interceptors.reduceRight<Invoke>((next, interceptor) => (call) => interceptor(call, next), invoke)
}

/** Serializes and parses the messages of `method`. */
export function codec(method: DescMethod): Pick<Call, 'serialize' | 'deserialize'> {
  return {
    serialize: (message) => toBinary(method.input, message as never),
    deserialize: (bytes) => fromBinary(method.output, bytes),
  }
}

let open = 0

/** The number of calls in flight. */
export function openCalls(): number {
  return open
}

/** Makes the call on a connection with a free stream, and repeats it where that is safe. */
export async function* send(call: Call): AsyncGenerator<Message> {
  const {signal} = call.life
  if (signal.aborted) throw signal.reason
  const pool = call.runtime.channels.to(call.backend)
  const streaming = call.method.methodKind !== 'unary'
  const outgoing = new Outgoing(call)
  let retries: Retries | undefined
  open++
  try {
    for (;;) {
      const connection = pool.take(streaming) ?? (await waitFor(pool, call, streaming))
      const exchange = new Exchange(call, connection, outgoing)
      try {
        for (let bytes = await exchange.next(); bytes; bytes = await exchange.next()) yield decoded(call, bytes)
      } finally {
        await exchange.close()
        pool.release(connection, streaming)
      }
      const {end, cause} = exchange
      if (cause !== undefined) throw cause
      if (end?.code === status.OK) return pool.budget.succeeded()
      retries ??= new Retries(call, pool.budget, outgoing)
      const retry = call.span?.part('retry')
      if (!(await retries.again(exchange))) throw await faultOf(end!, call, connection.loss)
      retry?.end()
      telemetry()?.count('retry', {'rpc.method': pathOf(call.method).slice(1)})
    }
  } finally {
    outgoing.close()
    open--
  }
}

async function waitFor(pool: CallPool, call: Call, streaming: boolean): Promise<Connection> {
  const part = call.span?.part('connection')
  try {
    return await pool.wait(call, streaming)
  } finally {
    part?.end()
  }
}

function decoded(call: Call, bytes: Buffer): Message {
  try {
    return call.deserialize(bytes)
  } catch (cause) {
    throw new Fault(
      'INTERNAL',
      `The answer of ${pathOf(call.method).slice(1)} is not a ${call.method.output.typeName}`,
      {cause},
    )
  }
}

import {type DescMethod, fromBinary, type Message, toBinary} from '@bufbuild/protobuf'
import {status} from '@grpc/grpc-js'
import {type Code, Fault} from '../core/fault.ts'
import {abortReasonOf} from '../core/life.ts'
import {telemetry} from '../core/telemetry/telemetry.ts'
import {answersMany, type Call, type CallPool, type Interceptor, pathOf} from './call.ts'
import {Exchange} from './calls/exchange.ts'
import {Outgoing} from './calls/outgoing.ts'
import {Retries} from './calls/retries.ts'
import type {Connection} from './connections/connection.ts'
import {authorize} from './identity/authorization.ts'
import {faultOf} from './status.ts'

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

/**
 * Makes a call on a connection with a free stream, repeats it where that is safe, and yields its response messages as they arrive,
 * or an only answer once the call has succeeded.
 * Ending the iteration early cancels the call.
 * @param interceptors the first one begins first and ends last
 */
export async function* send(call: Call, interceptors: readonly Interceptor[]): AsyncGenerator<Message> {
  const streaming = call.method.methodKind !== 'unary'
  const isStream = answersMany(call.method)
  const ends: ReturnType<Interceptor>[] = []
  let code: Code = 'CANCELLED'
  let outgoing: Outgoing | undefined
  let retries: Retries | undefined
  open++
  try {
    for (const interceptor of interceptors) ends.unshift(interceptor(call))
    await authorize(call)
    const reason = abortReasonOf(call.life)
    if (reason) throw reason
    const pool = call.runtime.channels.to(call.backend)
    outgoing = new Outgoing(call)
    for (;;) {
      const connection = pool.take(streaming) ?? (await waitFor(pool, call, streaming))
      const exchange = new Exchange(call, connection, outgoing)
      let answer: Message | undefined
      try {
        for (let bytes = await exchange.next(); bytes; bytes = await exchange.next()) {
          // More than one answer of a method that gives one goes on, to be refused.
          if (answer !== undefined) yield answer
          answer = decoded(call, bytes)
          if (isStream) {
            yield answer
            answer = undefined
          }
        }
      } finally {
        await exchange.close()
        pool.release(connection, streaming)
      }
      const {end, cause} = exchange
      if (cause !== undefined) throw cause
      if (end?.code === status.OK) {
        pool.budget.succeeded()
        code = 'OK'
        if (answer !== undefined) yield answer
        return
      }
      retries ??= new Retries(call, pool.budget, outgoing)
      const retry = call.span?.part('retry')
      if (!(await retries.again(exchange))) throw await faultOf(end!, call, connection.loss)
      retry?.end()
      telemetry()?.count('retry', {'rpc.method': pathOf(call.method).slice(1)})
    }
  } catch (error) {
    code = Fault.from(error).code
    throw error
  } finally {
    outgoing?.close()
    open--
    for (const end of ends) end?.(code)
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

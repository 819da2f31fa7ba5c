import {status} from '@grpc/grpc-js'
import {claimsBytes} from '../core/caller.ts'
import {codeOf, Fault} from '../core/fault.ts'
import {authorize} from './authorization.ts'
import {type Call, type Interceptor, pathOf} from './call.ts'
import {intercepted, send} from './calls.ts'
import {metrics} from './metrics.ts'

/** The backend hears the request's id and trace. */
const requestId: Interceptor = (call, next) => {
  call.metadata.set('x-request-id', call.life.id)
  for (const [name, value] of Object.entries(call.life.trace)) {
    // HTTP allows more than metadata does: a trace is not worth a failure.
    if (/^[ -~]*$/.test(value)) call.metadata.set(name, value)
  }
  return next(call)
}

/** The metadata key of the caller's verified claims: JSON in UTF-8, which gRPC itself puts into base64. */
const claimsKey = 'x-verified-claims-bin'

/** Whoever the function is that calls: what AUTH_ALLOW or its proto forbids the caller is not called. The backend hears who that is. */
const caller: Interceptor = (call, next) => {
  const {life, metadata} = call
  life.checkCall?.(call.method)
  if (life.caller) metadata.set(claimsKey, claimsBytes(life.caller))
  else metadata.remove(claimsKey)
  return next(call)
}

/** The request's record says whom it called, how that ended and how long it took. */
const record: Interceptor = async function* (call, next) {
  const began = performance.now()
  let code = codeOf(status.CANCELLED)
  try {
    yield* next(call)
    code = 'OK'
  } catch (error) {
    code = Fault.from(error).code
    throw error
  } finally {
    const latency = Math.round(performance.now() - began)
    const grpc = {method: pathOf(call.method).slice(1), code, latencyMs: latency, backend: call.backend.url}
    call.life.note({grpc})
    call.life.log.debug({grpc}, `${grpc.method} ${code} in ${latency} ms`)
  }
}

/** A call ends when its request must at the latest. */
const deadline: Interceptor = (call, next) => {
  call.deadline = Math.min(call.deadline, call.life.deadline)
  return next(call)
}

/** The call carries an ID token for the backend's audience. */
const idToken: Interceptor = async function* (call, next) {
  await authorize(call)
  yield* next(call)
}

/** Makes a call as all of ours are made. */
export const invoke: (call: Call) => AsyncIterable<unknown> = intercepted(send, [
  metrics,
  requestId,
  caller,
  record,
  deadline,
  idToken,
])

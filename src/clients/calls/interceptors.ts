import {status} from '@grpc/grpc-js'
import {claimsBytes} from '../../core/caller.ts'
import {type Code, codeOf, Fault} from '../../core/fault.ts'
import type {CallSpan} from '../../core/telemetry/spans.ts'
import {type Call, type Interceptor, type Invoke, pathOf} from '../call.ts'
import {intercepted, send} from '../calls.ts'
import {authorize} from '../identity/authorization.ts'
import {metrics} from './metrics.ts'

/** Sends the request's id and trace context to the backend. */
const requestId: Interceptor = (call, next) => {
  call.metadata.set('x-request-id', call.life.id)
  setTrace(call, call.life.trace)
  return next(call)
}

function setTrace({metadata}: Call, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    // HTTP allows characters that metadata does not. Skip the trace rather than fail the call.
    if (/^[ -~]*$/.test(value)) metadata.set(name, value)
  }
}

/** Traces the call with its own span, the parent of the backend's span, if the process has an OpenTelemetry SDK. */
const span: Interceptor = (call, next) => {
  const begun = call.life.span?.call({method: pathOf(call.method).slice(1), url: call.backend.url})
  return begun ? inSpan(begun, call, next) : next(call)
}

async function* inSpan(span: CallSpan, call: Call, next: Invoke) {
  call.span = span
  let code: Code = 'CANCELLED'
  try {
    setTrace(call, span.headers)
    yield* next(call)
    code = 'OK'
  } catch (error) {
    code = Fault.from(error).code
    throw error
  } finally {
    span.end(code)
  }
}

/** The metadata key of the caller's verified claims: JSON in UTF-8, which gRPC itself encodes in base64. */
const claimsKey = 'x-verified-claims-bin'

/** Refuses calls that AUTH_ALLOW or the proto forbids this caller, from any function, and sends the caller's claims to the backend. */
const caller: Interceptor = (call, next) => {
  const {life, metadata} = call
  life.checkCall?.(call.method)
  if (life.caller) metadata.set(claimsKey, claimsBytes(life.caller))
  else metadata.remove(claimsKey)
  return next(call)
}

/** Adds the call's backend, code and latency to the request's log record. */
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

/** Limits the call's deadline to that of its request. */
const deadline: Interceptor = (call, next) => {
  call.deadline = Math.min(call.deadline, call.life.deadline)
  return next(call)
}

/** Adds an ID token for the backend's audience. */
const idToken: Interceptor = async function* (call, next) {
  await authorize(call)
  yield* next(call)
}

/** Makes a call with all interceptors. */
export const invoke: (call: Call) => AsyncIterable<unknown> = intercepted(send, [
  metrics,
  requestId,
  span,
  caller,
  record,
  deadline,
  idToken,
])

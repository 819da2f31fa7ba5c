import {claimsBytes} from '../../core/caller.ts'
import {type Call, type Interceptor, pathOf} from '../call.ts'
import {send} from '../calls.ts'
import {metrics} from './metrics.ts'

/** Sends the request's id and trace context to the backend. */
const requestId: Interceptor = (call) => {
  call.metadata.set('x-request-id', call.life.id)
  setTrace(call, call.life.trace)
  return undefined
}

function setTrace({metadata}: Call, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    // HTTP allows characters that metadata does not. Skip the trace rather than fail the call.
    if (/^[ -~]*$/.test(value)) metadata.set(name, value)
  }
}

/** Traces the call with its own span, the parent of the backend's span, if the process has an OpenTelemetry SDK. */
const span: Interceptor = (call) => {
  const span = call.life.span?.call({method: pathOf(call.method).slice(1), url: call.backend.url})
  if (!span) return undefined
  call.span = span
  setTrace(call, span.headers)
  return (code) => span.end(code)
}

/** The metadata key of the caller's verified claims: JSON in UTF-8, which gRPC itself encodes in base64. */
const claimsKey = 'x-verified-claims-bin'

/** Refuses calls that AUTH_ALLOW or the proto forbids this caller, from any function, and sends the caller's claims to the backend. */
const caller: Interceptor = ({life, metadata, method}) => {
  life.checkCall?.(method)
  if (life.caller) metadata.set(claimsKey, claimsBytes(life.caller))
  else metadata.remove(claimsKey)
  return undefined
}

/** Adds the call's backend, code and latency to the request's log record. */
const record: Interceptor = ({life, method, backend}) => {
  const began = performance.now()
  return (code) => {
    const latency = Math.round(performance.now() - began)
    const grpc = {method: pathOf(method).slice(1), code, latencyMs: latency, backend: backend.url}
    life.note({grpc})
    life.log.debug({grpc}, `${grpc.method} ${code} in ${latency} ms`)
  }
}

/** Limits the call's deadline to that of its request. */
const deadline: Interceptor = (call) => {
  call.deadline = Math.min(call.deadline, call.life.deadline)
  return undefined
}

const interceptors = [metrics, requestId, span, caller, record, deadline]

/** Makes a call with all interceptors. */
export function invoke(call: Call): AsyncIterable<unknown> {
  return send(call, interceptors)
}

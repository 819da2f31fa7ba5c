import type {IncomingHttpHeaders} from 'node:http'

/** A W3C traceparent of version 00, whose ids are not all zeros: https://www.w3.org/TR/trace-context/#traceparent-header */
const traceparentForm = /^00-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})$/

/** Google's own header: `<32 hex>/<decimal span>;o=1`. */
const cloudTraceForm = /^([\da-f]{32})(?:\/(\d{1,20}))?(?:;o=(\d))?$/i

/** Headers that are forwarded to backends. */
const traceHeaders = ['traceparent', 'tracestate', 'x-cloud-trace-context'] as const

export function passedOn(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {}
  for (const name of traceHeaders) {
    const value = headers[name]
    if (typeof value === 'string') passed[name] = value
  }
  return passed
}

/**
 * The fields with which Cloud Logging assigns a record to its trace, in the project `projectId`: the span in 16 hex digits
 * for any header.
 */
export function traceFields(headers: IncomingHttpHeaders, projectId?: string): Record<string, string | boolean> {
  const w3c = traceparentForm.exec(String(headers.traceparent ?? ''))
  const named = (trace: string) => (projectId ? `projects/${projectId}/traces/${trace}` : trace)
  if (w3c) return fields(named(w3c[1]!), w3c[2]!, (Number.parseInt(w3c[3]!, 16) & 1) === 1)
  const google = cloudTraceForm.exec(String(headers['x-cloud-trace-context'] ?? ''))
  if (!google) return {}
  const span = Number(google[2]) ? BigInt.asUintN(64, BigInt(google[2]!)).toString(16).padStart(16, '0') : undefined
  return fields(named(google[1]!.toLowerCase()), span, google[3] === '1')
}

function fields(trace: string, span: string | undefined, sampled: boolean): Record<string, string | boolean> {
  return {
    'logging.googleapis.com/trace': trace,
    ...(span && {'logging.googleapis.com/spanId': span}),
    'logging.googleapis.com/trace_sampled': sampled,
  }
}

import {
  type Attributes,
  type Context,
  context,
  diag,
  metrics,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import {type Code, codes} from '../fault.ts'
import type {CallSpan, Counter, RequestFacts, RequestOutcome, RequestSpan, Telemetry} from './spans.ts'

/** The instrumentation scope of spans and metrics. */
const name = 'grpc-functions'

const tracer = trace.getTracer(name)
const meter = metrics.getMeter(name)

/** Bucket boundaries in seconds, from the conventions for HTTP metrics. */
const advice = {explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]}

const instruments = {
  duration: meter.createHistogram('http.server.request.duration', {unit: 's', advice}),
  active: meter.createUpDownCounter('http.server.active_requests', {unit: '{request}'}),
  requestSize: meter.createHistogram('http.server.request.body.size', {unit: 'By'}),
  responseSize: meter.createHistogram('http.server.response.body.size', {unit: 'By'}),
  call: meter.createHistogram('rpc.client.call.duration', {unit: 's', advice}),
} as const

const counters = {
  'id token': meter.createCounter('grpc_functions.id_tokens', {description: 'ID tokens that were fetched'}),
  connection: meter.createCounter('grpc_functions.connections', {description: 'Connections to backends'}),
  reconnect: meter.createCounter('grpc_functions.reconnects', {
    description: 'Connections to backends that had none left',
  }),
  retry: meter.createCounter('grpc_functions.retries', {description: 'Calls that were made again'}),
} as const satisfies Record<Counter, unknown>

/** The methods in the conventions for HTTP. Others become `_OTHER`, so that callers cannot create time series. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'QUERY'])

/** Telemetry by OpenTelemetry's API. The process's SDK decides what to record and where to send it. */
export const openTelemetry: Telemetry = {
  request: (facts) => safely(() => beginRequest(facts)),
  count: (counter, attributes) => safely(() => counters[counter].add(1, attributes)),
}

/** Ignores errors of an SDK's processors and exporters, which must not fail a request. */
function safely<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    diag.error('A span or a metric is lost', error)
    return undefined
  }
}

/**
 * A server span by the semantic conventions for HTTP.
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 */
function beginRequest(facts: RequestFacts): RequestSpan {
  const began = performance.now()
  const {method: given, scheme} = facts
  const method = methods.has(given) ? given : '_OTHER'
  const common = {'http.request.method': method, 'url.scheme': scheme}
  const parent = propagation.extract(ROOT_CONTEXT, facts.headers)
  const shown = method === '_OTHER' ? 'HTTP' : method
  const attributes = {...common, ...(method === '_OTHER' && {'http.request.method_original': given}), ...known(facts)}
  const span = tracer.startSpan(shown, {kind: SpanKind.SERVER, attributes}, parent)
  const inside = trace.setSpan(parent, span)
  let route: string | undefined
  let isOpen = true
  safely(() => instruments.active.add(1, common))
  return {
    get headers() {
      return safely(() => headersOf(inside)) ?? {}
    },
    run: (work) => context.with(inside, work),
    routed(template) {
      route = template
      safely(() => span.updateName(`${shown} ${template}`).setAttribute('http.route', template))
    },
    call: (call) => safely(() => beginCall(inside, call)),
    end(outcome) {
      if (!isOpen) return
      isOpen = false
      safely(() => instruments.active.add(-1, common))
      safely(() => end(outcome))
    },
  }

  function end({status, code, isFailure, bodySize}: RequestOutcome): void {
    const error = isFailure ? {'error.type': code ?? String(status)} : {}
    const measured = {...common, 'http.response.status_code': status, ...(route && {'http.route': route}), ...error}
    instruments.duration.record((performance.now() - began) / 1000, measured, inside)
    instruments.responseSize.record(bodySize, measured, inside)
    if (facts.bodySize !== undefined) instruments.requestSize.record(facts.bodySize, measured, inside)
    span.setAttributes({'http.response.status_code': status, 'http.response.body.size': bodySize, ...error})
    if (isFailure) span.setStatus({code: SpanStatusCode.ERROR})
    span.end()
  }
}

function known({path, host, userAgent, protocolVersion, clientAddress, bodySize}: RequestFacts): Attributes {
  return {
    'url.path': path,
    'network.protocol.version': protocolVersion,
    ...(host && addressOf(host)),
    ...(userAgent && {'user_agent.original': userAgent}),
    ...(clientAddress && {'client.address': clientAddress}),
    ...(bodySize !== undefined && {'http.request.body.size': bodySize}),
  }
}

/**
 * A client span by version 1.45 of the semantic conventions for RPC, the first stable one. Spans also have the attribute names from before
 * 1.38, which tools still read.
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
 */
function beginCall(around: Context, {method, url}: {readonly method: string; readonly url: string}): CallSpan {
  const began = performance.now()
  const {host, protocol} = new URL(url)
  const attributes = {
    'rpc.system.name': 'grpc',
    'rpc.method': method,
    ...addressOf(host, protocol === 'https:' ? 443 : 80),
  }
  const former = {'rpc.system': 'grpc', 'rpc.service': method.slice(0, method.lastIndexOf('/'))}
  const span = tracer.startSpan(method, {kind: SpanKind.CLIENT, attributes: {...attributes, ...former}}, around)
  const inside = trace.setSpan(around, span)
  return {
    headers: safely(() => headersOf(inside)) ?? {},
    part(name) {
      const startTime = Date.now()
      const started = performance.now()
      const end = () => {
        const part = tracer.startSpan(name, {kind: SpanKind.INTERNAL, startTime}, inside)
        part.end(startTime + performance.now() - started)
      }
      return {end: () => void safely(end)}
    },
    end: (code) => void safely(() => end(code)),
  }

  function end(code: Code): void {
    const ended = {'rpc.response.status_code': code, ...(code !== 'OK' && {'error.type': code})}
    instruments.call.record((performance.now() - began) / 1000, {...attributes, ...ended}, inside)
    span.setAttributes({...ended, 'rpc.grpc.status_code': codes[code]})
    if (code !== 'OK') span.setStatus({code: SpanStatusCode.ERROR})
    span.end()
  }
}

function headersOf(inside: Context): Record<string, string> {
  const headers: Record<string, string> = {}
  propagation.inject(inside, headers)
  return headers
}

function addressOf(host: string, usualPort?: number): Attributes {
  const [, address, port = usualPort] = /^(.*?)(?::(\d+))?$/.exec(host) ?? []
  return {'server.address': address, ...(port !== undefined && {'server.port': Number(port)})}
}

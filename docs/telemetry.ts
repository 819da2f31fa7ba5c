import {context, metrics, propagation, trace} from '@opentelemetry/api'
import {AsyncLocalStorageContextManager} from '@opentelemetry/context-async-hooks'
import {W3CTraceContextPropagator} from '@opentelemetry/core'
import {OTLPMetricExporter} from '@opentelemetry/exporter-metrics-otlp-http'
import {OTLPTraceExporter} from '@opentelemetry/exporter-trace-otlp-http'
import {defaultResource, resourceFromAttributes} from '@opentelemetry/resources'
import {MeterProvider, PeriodicExportingMetricReader} from '@opentelemetry/sdk-metrics'
import {BatchSpanProcessor, TracerProvider} from '@opentelemetry/sdk-trace'

const {K_SERVICE, K_REVISION, GOOGLE_CLOUD_PROJECT} = process.env
const resource = defaultResource().merge(
  resourceFromAttributes({
    ...(K_SERVICE && {'service.name': K_SERVICE}),
    ...(K_REVISION && {'service.version': K_REVISION}),
    ...(GOOGLE_CLOUD_PROJECT && {'gcp.project_id': GOOGLE_CLOUD_PROJECT}),
  }),
)

// No timer sends anything, because an instance has no CPU between two requests. flush() sends before each response ends.
const never = 2 ** 31 - 1

// Both send to OTEL_EXPORTER_OTLP_ENDPOINT, by default http://localhost:4318.
const spans = new BatchSpanProcessor({exporter: new OTLPTraceExporter(), scheduledDelayMillis: never})
const reader = new PeriodicExportingMetricReader({exporter: new OTLPMetricExporter(), exportIntervalMillis: never})

trace.setGlobalTracerProvider(new TracerProvider({resource, spanProcessors: [spans]}))
metrics.setGlobalMeterProvider(new MeterProvider({resource, readers: [reader]}))
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
propagation.setGlobalPropagator(new W3CTraceContextPropagator())

/** Sends the spans and metrics of the requests so far. */
export function flush(): Promise<unknown> {
  return Promise.all([spans.forceFlush(), reader.forceFlush()])
}

/** Shuts both down. */
export function shutdown(): Promise<unknown> {
  return Promise.all([spans.shutdown(), reader.shutdown()])
}

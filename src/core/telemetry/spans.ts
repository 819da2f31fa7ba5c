import type {Code} from '../fault.ts'

/** The head of a request, as its span is told of it. */
export interface RequestFacts {
  readonly method: string
  readonly path: string
  readonly scheme: string
  /** The header of that name, if any. */
  readonly host: string | undefined
  readonly userAgent: string | undefined
  readonly protocolVersion: string
  readonly clientAddress: string | undefined
  readonly bodySize: number | undefined
  /** Headers with the caller's trace context. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** How a request ended. */
export interface RequestOutcome {
  readonly status: number
  /** The gRPC code of its failure. */
  readonly code?: string | undefined
  /** Whether the server is to blame. */
  readonly isFailure: boolean
  /** The response's body, in bytes. */
  readonly bodySize: number
}

/** A server span. */
export interface RequestSpan {
  /** Headers that say its trace and its id, if the SDK has a propagator. */
  readonly headers: Readonly<Record<string, string>>
  /** Runs `work` with this span as the active one. */
  run<T>(work: () => T): T
  /** The template of the path, once it is known. */
  routed(route: string): void
  /** Begins a client span, for one gRPC call of `pkg.Service/Method`. */
  call(call: {readonly method: string; readonly url: string}): CallSpan | undefined
  /** Ends it. Only the first call counts. */
  end(outcome: RequestOutcome): void
}

/** A client span of one gRPC call. */
export interface CallSpan {
  /** Headers that make the backend's span a child of this one. */
  readonly headers: Readonly<Record<string, string>>
  /** Takes the time of a part of the call: end() makes it a child span, and without end() there is none. */
  part(name: 'id token' | 'connection' | 'retry'): {end(): void}
  end(code: Code): void
}

/** Counters, by what they count. */
export type Counter = 'id token' | 'connection' | 'reconnect' | 'retry'

/** OpenTelemetry, as the SDK of this process gives it. */
export interface Telemetry {
  /** Begins a server span; undefined where the SDK fails. */
  request(facts: RequestFacts): RequestSpan | undefined
  count(counter: Counter, attributes?: Readonly<Record<string, string>>): void
}

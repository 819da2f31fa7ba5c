import type {Code} from '../fault.ts'

/** The facts about a request's head for its span. */
export interface RequestFacts {
  readonly method: string
  readonly path: string
  readonly scheme: string
  /** The header with that name; undefined if there is none. */
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
  /** The gRPC code of its error. */
  readonly code?: string | undefined
  /** Whether it is an error of the server. */
  readonly isFailure: boolean
  /** Size of the response's body, in bytes. */
  readonly bodySize: number
}

/** A server span. */
export interface RequestSpan {
  /** Headers with its trace id and span id, if the SDK has a propagator. */
  readonly headers: Readonly<Record<string, string>>
  /** Runs `work` with this span as the active one. */
  run<T>(work: () => T): T
  /** The template of the path, once it is known. */
  routed(route: string): void
  /** Starts a client span for one gRPC call of `pkg.Service/Method`. */
  call(call: {readonly method: string; readonly url: string}): CallSpan | undefined
  /** Ends it. Only the first call counts. */
  end(outcome: RequestOutcome): void
}

/** A client span of one gRPC call. */
export interface CallSpan {
  /** Headers that make the backend's span a child of this one. */
  readonly headers: Readonly<Record<string, string>>
  /** Starts to measure a part of the call. end() creates a child span for it; without end() there is none. */
  part(name: 'id token' | 'connection' | 'retry'): {end(): void}
  end(code: Code): void
}

/** The counters. */
export type Counter = 'id token' | 'connection' | 'reconnect' | 'retry'

/** The telemetry of this process, by its SDK. */
export interface Telemetry {
  /** Starts a server span; undefined if the SDK fails. */
  request(facts: RequestFacts): RequestSpan | undefined
  count(counter: Counter, attributes?: Readonly<Record<string, string>>): void
}

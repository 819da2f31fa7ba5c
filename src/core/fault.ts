import {create, type DescMessage, type MessageInitShape, type Registry} from '@bufbuild/protobuf'
import {type Any, anyPack, anyUnpack, durationMs} from '@bufbuild/protobuf/wkt'
import {BadRequestSchema, ErrorInfoSchema, RetryInfoSchema} from '../gen/google/rpc/error_details_pb.js'
import {shortened} from './shortened.ts'

/** The gRPC codes by name, as in google/rpc/code.proto. */
export const codes = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

export type Code = keyof typeof codes

const names = Object.keys(codes) as Code[]

/** The name of the gRPC code `number`; UNKNOWN for other numbers. */
export function codeOf(number: number): Code {
  return names[number] ?? 'UNKNOWN'
}

/** Optional parts of a Fault beside its code and message. */
export interface FaultOptions {
  /** Only for the log: callers never see it. */
  cause?: unknown
  /** Messages of google/rpc/error_details.proto, or of any other type. */
  details?: Any[]
  /** Where the types of details are looked up before google/rpc. */
  types?: Registry | undefined
  /** Adds a google.rpc.ErrorInfo with this reason, in UPPER_SNAKE_CASE, and the domain `grpc-functions`. */
  reason?: string
  metadata?: Record<string, string>
  /** Adds a google.rpc.RetryInfo: after how many seconds a retry may succeed. */
  retryAfter?: number
  /** The HTTP status, if it is more specific than that of the code: 405, 413, 502, … */
  http?: number
  /** Headers of the HTTP response with this error: Allow, … */
  headers?: Record<string, string>
  /** Advice for the operator, only for the log. */
  hint?: string
  /** Appended to the message for the caller only, because it quotes the request, which must not get into the log. */
  callerOnly?: string
}

/** Limit for a message, in characters: it may quote callers and backends. */
const maxMessage = 4096

/** The domain of every ErrorInfo that is made here rather than by a backend. */
export const errorDomain = 'grpc-functions'

/**
 * An error with a gRPC code. Callers see its code, message and details, which http/response/failure.ts maps to HTTP in the format of AIP-193 or
 * google.rpc.Status. Cause and hint are only for the log.
 * @example
 * throw new Fault('NOT_FOUND', `Cannot find the book "${title}"`, {reason: 'NO_SUCH_BOOK', hint: 'the shelf was moved'})
 */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: Code
  readonly details: readonly Any[]
  /** Where the types of `details` are looked up before google/rpc. */
  readonly types: Registry | undefined
  /** Seconds after which a retry may succeed, rounded up; undefined without a RetryInfo. */
  readonly retryAfter: number | undefined
  /** The HTTP status, if it is more specific than that of `code`. */
  readonly ownHttpStatus: number | undefined
  /** Additional headers of the HTTP response with this error. */
  readonly ownHeaders: Readonly<Record<string, string>>
  readonly hint: string | undefined
  /** The message without its part for the caller only. */
  readonly logMessage: string

  constructor(code: Code, message: string, options: FaultOptions = {}) {
    super(
      shortened(`${message}${options.callerOnly ?? ''}`, maxMessage),
      options.cause === undefined ? undefined : {cause: options.cause},
    )
    this.code = code
    this.logMessage = shortened(message, maxMessage)
    this.details = [...ownDetails(options), ...(options.details ?? [])]
    this.types = options.types
    this.retryAfter = retryAfterOf(this.details)
    this.ownHttpStatus = options.http
    this.ownHeaders = {...options.headers}
    this.hint = options.hint
  }

  /** Converts `error` to a Fault: itself if it is one, or INTERNAL with a text that reveals nothing and `error` as the cause. */
  static from(error: unknown): Fault {
    return error instanceof Fault ? error : new Fault('INTERNAL', 'Internal error', {cause: error})
  }

  /** An INVALID_ARGUMENT with a google.rpc.BadRequest. @param field a parameter, a path of fields, or a place such as `body` */
  static invalid(field: string, description: string, options: FaultOptions = {}): Fault {
    const told = shortened(`${description}${options.callerOnly ?? ''}`, maxMessage)
    const violations = detail(BadRequestSchema, {fieldViolations: [{field: shortened(field), description: told}]})
    return new Fault('INVALID_ARGUMENT', description, {...options, details: [violations, ...(options.details ?? [])]})
  }

  /** Only the parts that callers may see, in case a Fault gets into JSON by accident. */
  toJSON(): {code: Code; message: string} {
    return {code: this.code, message: this.message}
  }
}

function ownDetails({reason, metadata = {}, retryAfter}: FaultOptions): Any[] {
  const details: Any[] = []
  if (reason) details.push(detail(ErrorInfoSchema, {reason, domain: errorDomain, metadata}))
  if (retryAfter) details.push(detail(RetryInfoSchema, {retryDelay: {seconds: BigInt(retryAfter)}}))
  return details
}

/** Packs a message for a Fault's details. */
export function detail<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return anyPack(schema, create(schema, init))
}

function retryAfterOf(details: readonly Any[]): number | undefined {
  for (const any of details) {
    try {
      const delay = anyUnpack(any, RetryInfoSchema)?.retryDelay
      if (delay) return Math.max(0, Math.ceil(durationMs(delay) / 1000))
    } catch {
      // A malformed RetryInfo gives no time.
    }
  }
  return undefined
}

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

/** The name of the gRPC code `number`; UNKNOWN for a number that is none. */
export function codeOf(number: number): Code {
  return names[number] ?? 'UNKNOWN'
}

/** What a Fault may carry beside its code and message. */
export interface FaultOptions {
  /** For the log alone: the caller never sees it. */
  cause?: unknown
  /** Messages of google/rpc/error_details.proto, or of any other type. */
  details?: Any[]
  /** Where the types of details are looked up before google/rpc. */
  types?: Registry | undefined
  /** An ErrorInfo of ours: `reason` in UPPER_SNAKE_CASE. */
  reason?: string
  metadata?: Record<string, string>
  /** After how many seconds the same may succeed: a RetryInfo. */
  retryAfter?: number
  /** The HTTP status where the code alone would give a less exact one: 405, 413, 502, … */
  http?: number
  /** Headers that an HTTP response with this failure needs: Allow, … */
  headers?: Record<string, string>
  /** What the person who runs this has to do about it: for the log alone. */
  hint?: string
  /** Follows the message, for the caller alone: it quotes a value of the request, which the log must not hold. */
  callerOnly?: string
}

/** Limit for a message, in characters: it may quote callers and backends. */
const maxMessage = 4096

/** The domain of every ErrorInfo that comes from here rather than from a backend. */
export const errorDomain = 'grpc-functions'

/**
 * A failure with a gRPC code. Callers see its code, message and details (http/failure.ts maps them to HTTP, after AIP-193 or
 * google.rpc.Status); its cause and hint are for the log only.
 * @example
 * throw new Fault('NOT_FOUND', `Cannot find the book "${title}"`, {reason: 'NO_SUCH_BOOK', hint: 'the shelf was moved'})
 */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: Code
  readonly details: readonly Any[]
  /** Where the types of `details` are looked up before google/rpc. */
  readonly types: Registry | undefined
  /** Seconds after which the same may succeed, rounded up; undefined: no RetryInfo says so. */
  readonly retryAfter: number | undefined
  /** The HTTP status, where it is more exact than the one of `code`. */
  readonly ownHttpStatus: number | undefined
  /** Headers that an HTTP response with this failure needs beside the usual ones. */
  readonly ownHeaders: Readonly<Record<string, string>>
  readonly hint: string | undefined
  /** The message without what is for the caller alone. */
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

  /** `error` as a Fault: itself, or INTERNAL with a text that gives nothing away and `error` as the cause. */
  static from(error: unknown): Fault {
    return error instanceof Fault ? error : new Fault('INTERNAL', 'Internal error', {cause: error})
  }

  /** INVALID_ARGUMENT whose BadRequest names `field`: a parameter, a path of fields, or a place such as `body`. */
  static invalid(field: string, description: string, options: FaultOptions = {}): Fault {
    const told = shortened(`${description}${options.callerOnly ?? ''}`, maxMessage)
    const violations = detail(BadRequestSchema, {fieldViolations: [{field: shortened(field), description: told}]})
    return new Fault('INVALID_ARGUMENT', description, {...options, details: [violations, ...(options.details ?? [])]})
  }

  /** Only what the caller may see, wherever a Fault gets into JSON by accident. */
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

/** One message of a Fault's details. */
export function detail<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return anyPack(schema, create(schema, init))
}

function retryAfterOf(details: readonly Any[]): number | undefined {
  for (const any of details) {
    try {
      const delay = anyUnpack(any, RetryInfoSchema)?.retryDelay
      if (delay) return Math.max(0, Math.ceil(durationMs(delay) / 1000))
    } catch {
      // A malformed RetryInfo says no time.
    }
  }
  return undefined
}

import {create, type DescMessage, type JsonValue, type MessageInitShape, type Registry} from '@bufbuild/protobuf'
import {type Any, anyPack, anyUnpack, durationMs} from '@bufbuild/protobuf/wkt'
import {BadRequestSchema, ErrorInfoSchema, RetryInfoSchema} from '../gen/google/rpc/error_details_pb.js'
import {detailJson} from './details.ts'
import {fitting, shortened} from './shortened.ts'

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

/** The HTTP status that a caller sees for each gRPC code, as in google/rpc/code.proto. */
export const httpStatus = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
} as const satisfies Record<Code, number>

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
  /** After how many seconds the same may succeed: a RetryInfo, and the header Retry-After. */
  retryAfter?: number
  /** The HTTP status, where it is not the one of the code: 405, 413, 502, … */
  http?: number
  /** Headers of the answer: Allow, … */
  headers?: Record<string, string>
  /** What the person who runs this has to do about it: for the log alone. */
  hint?: string
  /** Follows the message, for the caller alone: it quotes a value of the request, which the log must not hold. */
  callerOnly?: string
}

/** The longest message, in characters: callers and backends have a say in it. */
const mostMessage = 4096
/** The most JSON of all details together, in characters. */
const mostDetails = 32 * 1024

/** The domain of every ErrorInfo that comes from here rather than from a backend. */
const domain = 'grpc-functions'

/** A 401 says how to log in (RFC 9110 11.6.1), with a parameter at least (RFC 6750 3). */
const challenge = {'www-authenticate': `Bearer realm="${domain}"`}

/** A failure with a gRPC code. Its message is written for the caller; its cause and hint are for the log. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: Code
  readonly details: readonly Any[]
  readonly http: number
  readonly headers: Readonly<Record<string, string>>
  readonly hint: string | undefined
  /** The message without what is for the caller alone. */
  readonly logMessage: string
  readonly #types: Registry | undefined

  constructor(code: Code, message: string, options: FaultOptions = {}) {
    super(
      shortened(`${message}${options.callerOnly ?? ''}`, mostMessage),
      options.cause === undefined ? undefined : {cause: options.cause},
    )
    this.code = code
    this.logMessage = shortened(message, mostMessage)
    this.details = [...ownDetails(options), ...(options.details ?? [])]
    this.http = options.http ?? httpStatus[code]
    this.headers = {...retryAfter(this.details), ...(this.http === 401 && challenge), ...options.headers}
    this.hint = options.hint
    this.#types = options.types
  }

  /** `error` as a Fault: itself, or INTERNAL with a text that gives nothing away and `error` as the cause. */
  static from(error: unknown): Fault {
    return error instanceof Fault ? error : new Fault('INTERNAL', 'Internal error', {cause: error})
  }

  /** INVALID_ARGUMENT whose BadRequest names `field`: a parameter, a path of fields, or a place such as `body`. */
  static invalid(field: string, description: string, options: FaultOptions = {}): Fault {
    const told = shortened(`${description}${options.callerOnly ?? ''}`, mostMessage)
    const violations = detail(BadRequestSchema, {fieldViolations: [{field: shortened(field), description: told}]})
    return new Fault('INVALID_ARGUMENT', description, {...options, details: [violations, ...(options.details ?? [])]})
  }

  /** The shape of AIP-193: what a caller sees. */
  toJSON(): JsonValue {
    return {error: {code: this.http, message: this.message, status: this.code, details: this.detailsJson()}}
  }

  /** The shape of google.rpc.Status. */
  toStatusJson(): JsonValue {
    return {code: codes[this.code], message: this.message, details: this.detailsJson()}
  }

  /** As JSON, in their order: a detail that would make them too long is left out. */
  detailsJson(): JsonValue[] {
    const told = this.details.map((any) => detailJson(any, this.#types)).filter((json) => json !== undefined)
    return fitting(told, mostDetails, (json) => JSON.stringify(json).length)
  }
}

function ownDetails({reason, metadata = {}, retryAfter}: FaultOptions): Any[] {
  const details: Any[] = []
  if (reason) details.push(detail(ErrorInfoSchema, {reason, domain, metadata}))
  if (retryAfter) details.push(detail(RetryInfoSchema, {retryDelay: {seconds: BigInt(retryAfter)}}))
  return details
}

/** One message of a Fault's details. */
export function detail<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return anyPack(schema, create(schema, init))
}

function retryAfter(details: readonly Any[]): Record<string, string> {
  for (const any of details) {
    try {
      const delay = anyUnpack(any, RetryInfoSchema)?.retryDelay
      if (delay) return {'retry-after': String(Math.max(0, Math.ceil(durationMs(delay) / 1000)))}
    } catch {
      // Malformed: no header, and the detail stays as it came.
    }
  }
  return {}
}

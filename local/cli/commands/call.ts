import {type Code, codes, Fault} from '../../../src/core/fault.ts'
import {detailsJson} from '../../../src/http/response/failure.ts'
import {CommandError, type OutputOptions} from '../output.ts'

export interface CallOptions extends OutputOptions {
  /** Messages: JSON, `@file` or `-`. */
  readonly data: readonly string[]
  /** `name: value` */
  readonly header: readonly string[]
  readonly request?: string
  readonly url?: string
  /** A URL, or true for that of the environment. */
  readonly backend?: string | true
  readonly audience?: string
  readonly schema?: string
  /** In seconds. */
  readonly timeout?: number
  readonly verbose?: boolean
}

/** Receives the output of a call while it runs. Its promise tells how the call ended. */
export interface Shown {
  /** A line about the exchange, for -v. */
  note(line: string): void
  headers(headers: Readonly<Record<string, unknown>>): void
  message(json: unknown): void
  /** Bytes that are not JSON. */
  bytes(bytes: Uint8Array): void
  trailers(trailers: Readonly<Record<string, unknown>>): void
}

/** Default timeout of a call without a stream, in seconds. */
const patience = 30

/**
 * Calls a method, or requests a path, and prints the answer while it arrives.
 * @throws {CommandError} with the exit code 64 + gRPC code, when the call fails
 */
export async function call(target: string, options: CallOptions): Promise<void> {
  const whole = new Whole()
  const shown = options.json ? whole : new AsItComes(options.verbose ?? false)
  try {
    if (options.backend !== undefined) {
      await (await import('../call-backend.ts')).callBackend(methodOf(target), options, shown)
    } else await (await import('../call-http.ts')).callHttp(target, options, shown)
  } catch (error) {
    throw error instanceof Fault ? failed(error, options) : error
  } finally {
    // The rest of standard input is not needed.
    if (options.data.includes('-')) process.stdin.destroy()
  }
  shown.note('OK')
  if (options.json) process.stdout.write(`${JSON.stringify({status: 'OK', ...whole.all}, null, 2)}\n`)
}

/** Timeout of a call in seconds; undefined for no limit. */
export function timeoutOf({timeout}: CallOptions, hasStream: boolean): number | undefined {
  return timeout ?? (hasStream ? undefined : patience)
}

/** The full name of a service, and of a method in it. @throws {CommandError} */
export function methodOf(target: string): {service: string; method: string} {
  const [, service, method] = /^\/?([A-Za-z_][\w.]*)\/([A-Za-z_]\w*)$/.exec(target) ?? []
  if (service && method) return {service, method}
  throw new CommandError(`Cannot call "${target}": expected pkg.Service/Method`, 2)
}

/** Names and values of headers. @throws {CommandError} for one without a colon */
export function headersOf({header}: CallOptions): Record<string, string> {
  return Object.fromEntries(
    header.map((text) => {
      const [, name, value] = /^\s*([^:\s]+)\s*:\s*(.*?)\s*$/.exec(text) ?? []
      if (name) return [name.toLowerCase(), value ?? '']
      throw new CommandError(`Cannot read the header "${text}": expected "name: value"`, 2)
    }),
  )
}

/** The error of a call. Exit code as in grpcurl: 64 + gRPC code. */
export function failure(code: Code, message: string, details: unknown[] = [], hint?: string): CommandError {
  const lines = [`${code}: ${message}`, ...details.map((detail) => JSON.stringify(detail)), ...(hint ? [hint] : [])]
  return new CommandError(lines.join('\n'), 64 + codes[code], {status: code, code: codes[code], details, hint})
}

function failed(fault: Fault, {backend}: CallOptions): CommandError {
  const {code, message, hint, cause} = fault
  const told = hint ?? (cause instanceof Error ? cause.message : cause)
  const doctor = `npx grpc-functions doctor${typeof backend === 'string' ? ` ${backend}` : ''} says more`
  const lines = [...(told === undefined ? [] : [String(told)]), ...(backend && hint ? [doctor] : [])]
  return failure(code, message, detailsJson(fault), lines.join('\n') || undefined)
}

/** Prints the output while it arrives. */
class AsItComes implements Shown {
  readonly #verbose: boolean

  constructor(verbose: boolean) {
    this.#verbose = verbose
  }

  note(line: string): void {
    if (this.#verbose) process.stderr.write(`${line}\n`)
  }

  headers(headers: Readonly<Record<string, unknown>>): void {
    for (const [name, value] of Object.entries(headers)) this.note(`< ${name}: ${value}`)
  }

  message(json: unknown): void {
    process.stdout.write(`${JSON.stringify(json)}\n`)
  }

  bytes(bytes: Uint8Array): void {
    process.stdout.write(bytes)
  }

  trailers(trailers: Readonly<Record<string, unknown>>): void {
    this.headers(trailers)
  }
}

/** Collects the output, for --json. */
class Whole implements Shown {
  readonly all = {
    headers: {} as Readonly<Record<string, unknown>>,
    messages: [] as unknown[],
    trailers: {} as Readonly<Record<string, unknown>>,
  }

  note(): void {}

  headers(headers: Readonly<Record<string, unknown>>): void {
    this.all.headers = headers
  }

  message(json: unknown): void {
    this.all.messages.push(json)
  }

  bytes(bytes: Uint8Array): void {
    this.all.messages.push(Buffer.from(bytes).toString())
  }

  trailers(trailers: Readonly<Record<string, unknown>>): void {
    this.all.trailers = trailers
  }
}

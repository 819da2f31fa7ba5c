import type {IncomingHttpHeaders} from 'node:http'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'

/** Each unit of gRPC's TimeoutUnit, in ms (gRPC over HTTP2, PROTOCOL-HTTP2). */
const units = {H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001} as const

/**
 * The caller's timeout, in ms: the shortest of `grpc-timeout` (`1S`, `250m`), `connect-timeout-ms` and
 * `x-server-timeout` (seconds); Infinity without any of them.
 * @throws {Fault} INVALID_ARGUMENT that names the header when it is malformed
 */
export function callerTimeout(headers: IncomingHttpHeaders): number {
  const {'grpc-timeout': grpc, 'connect-timeout-ms': connect, 'x-server-timeout': server} = headers
  return Math.min(grpcTimeout(grpc), connectTimeout(connect), serverTimeout(server))
}

function connectTimeout(header: string | string[] | undefined): number {
  if (header === undefined) return Number.POSITIVE_INFINITY
  if (/^\d{1,10}$/.test(String(header))) return Number(header)
  throw Fault.invalid(
    'connect-timeout-ms',
    `Header connect-timeout-ms is "${shortened(String(header))}": expected milliseconds, in up to 10 digits`,
  )
}

function grpcTimeout(header: string | string[] | undefined): number {
  if (header === undefined) return Number.POSITIVE_INFINITY
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(header))
  if (!match) {
    throw Fault.invalid(
      'grpc-timeout',
      `Header grpc-timeout is "${shortened(String(header))}": expected up to 8 digits and one of H, M, S, m, u, n`,
    )
  }
  return Number(match[1]) * units[match[2] as keyof typeof units]
}

/** A number in JSON's syntax, as in /openapi.json, which also says that it must not be negative. */
const number = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i

function serverTimeout(header: string | string[] | undefined): number {
  if (header === undefined) return Number.POSITIVE_INFINITY
  const seconds = number.test(String(header)) ? Number(header) : Number.NaN
  if (!(seconds >= 0)) {
    throw Fault.invalid(
      'x-server-timeout',
      `Header x-server-timeout is "${shortened(String(header))}": expected seconds, such as "2.5"`,
    )
  }
  return seconds * 1000
}

import type {IncomingHttpHeaders} from 'node:http'
import test from 'ava'
import {callerTimeout} from '../../src/http/deadline.ts'
import {caught, fieldOf} from '../transcoding/schema.ts'

/** "Deadline: grpc-timeout (gRPC's form) or x-server-timeout (seconds); malformed is 400": milliseconds or header. */
const deadlines: [headers: IncomingHttpHeaders, outcome: number | string][] = [
  [{}, Number.POSITIVE_INFINITY],
  [{'grpc-timeout': '1H'}, 3_600_000],
  [{'grpc-timeout': '2M'}, 120_000],
  [{'grpc-timeout': '3S'}, 3000],
  [{'grpc-timeout': '99999999m'}, 99_999_999],
  [{'grpc-timeout': '500u'}, 0.5],
  [{'grpc-timeout': '1000000n'}, 1],
  [{'x-server-timeout': '2'}, 2000],
  [{'x-server-timeout': '1.5'}, 1500],
  [{'x-server-timeout': '0'}, 0],
  [{'grpc-timeout': '1S', 'x-server-timeout': '0.5'}, 500],
  [{'grpc-timeout': '123456789S'}, 'grpc-timeout'],
  [{'grpc-timeout': '1s'}, 'grpc-timeout'],
  [{'grpc-timeout': 'S'}, 'grpc-timeout'],
  [{'grpc-timeout': '-1S'}, 'grpc-timeout'],
  [{'grpc-timeout': '1.5S'}, 'grpc-timeout'],
  [{'grpc-timeout': ''}, 'grpc-timeout'],
  [{'grpc-timeout': '1S, 2S'}, 'grpc-timeout'],
  [{'x-server-timeout': '1s'}, 'x-server-timeout'],
  [{'x-server-timeout': '-1'}, 'x-server-timeout'],
  [{'x-server-timeout': '1e3'}, 'x-server-timeout'],
  [{'x-server-timeout': 'Infinity'}, 'x-server-timeout'],
  [{'x-server-timeout': ''}, 'x-server-timeout'],
]

for (const [headers, outcome] of deadlines) {
  test(`deadline: ${JSON.stringify(headers)} → ${outcome}`, (t) => {
    if (typeof outcome === 'string') t.is(fieldOf(caught(() => callerTimeout(headers))), outcome)
    else t.is(callerTimeout(headers), outcome)
  })
}

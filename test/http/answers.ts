import type {ExecutionContext} from 'ava'
import type {Connection, Response} from './connection.ts'

/** Checks that `response` is an error in the one format of all errors. */
export function isFault(
  t: ExecutionContext,
  {status, headers, json, whole}: Response,
  http: number,
  code: string,
): void {
  t.true(whole)
  t.is(status, http)
  t.is(headers.get('content-type'), 'application/json; charset=utf-8')
  t.is(headers.get('x-content-type-options'), 'nosniff')
  t.regex(headers.get('x-request-id') ?? '', /^[\da-f-]{36}$/)
  t.deepEqual(Object.keys(json), ['error'])
  t.deepEqual(Object.keys(json.error), ['code', 'message', 'status', 'details'])
  t.is(json.error.code, http)
  t.is(json.error.status, code)
}

/** Gets `path` on `connection`, and checks that there is exactly one response and that the connection can be used further. */
export async function askOnce(t: ExecutionContext, connection: Connection, path: string): Promise<Response> {
  connection.get(path)
  const response = await connection.response()
  connection.get('/well')
  const next = await connection.response()
  t.is(next.text, '{"all":"well"}')
  t.is(connection.rest, '')
  return response
}

import type {ExecutionContext} from 'ava'
import {type Connection, connectTo, type Response} from '../http/connection.ts'

/** A request as it stands on the wire: nothing is normalised, escaped or guessed. */
export interface Request {
  readonly method: string
  /** The target of the first line: a path with its query, mostly. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/**
 * The one response to `request`, which is alone on its connection; its text is UTF-8.
 * @throws when anything follows the response
 */
export async function exchange(url: string, {method, path, headers = {}, body}: Request): Promise<Response> {
  await using connection = await connectTo(url)
  const all = {
    host: 'localhost',
    connection: 'close',
    ...(body && {'content-length': Buffer.byteLength(body)}),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  connection.socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
  if (body) connection.socket.write(body)
  const response = await connection.response(method)
  await connection.closed
  if (connection.rest)
    throw new Error(`After the response to ${method} ${path} came ${JSON.stringify(connection.rest)}`)
  return inUtf8(response)
}

/** A response whose text came byte by byte. */
export function inUtf8(response: Response): Response {
  const text = Buffer.from(response.text, 'latin1').toString()
  return {...response, text, json: parsed(text)}
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A request whose body is sent as the test goes on, on a connection of its own. */
export class OpenRequest implements AsyncDisposable {
  readonly connection: Connection

  constructor(connection: Connection, {method, path, headers = {}}: Request) {
    this.connection = connection
    const lines = Object.entries({host: 'localhost', ...headers}).map(([name, value]) => `${name}: ${value}\r\n`)
    connection.socket.write(
      `${method} ${path} HTTP/1.1\r\n${lines.join('')}transfer-encoding: chunked\r\n\r\n`,
      'latin1',
    )
  }

  /** Sends more of the body; whether it has left our hands. */
  write(piece: string | Uint8Array): boolean {
    const {socket} = this.connection
    // In one packet: of several, the second would wait until the first is acknowledged.
    socket.cork()
    socket.write(`${Buffer.byteLength(piece).toString(16)}\r\n`)
    socket.write(piece)
    const more = socket.write('\r\n')
    socket.uncork()
    return more
  }

  end(): void {
    this.connection.socket.write('0\r\n\r\n')
  }

  async response(): Promise<Response> {
    return inUtf8(await this.connection.response())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.connection[Symbol.asyncDispose]()
  }
}

export async function open(url: string, request: Request): Promise<OpenRequest> {
  return new OpenRequest(await connectTo(url), request)
}

/** The failure has the shape of AIP-193, and its violation names `field`. */
export function refused(
  t: ExecutionContext,
  {status, headers, whole, text, json}: Response,
  http: number,
  field?: string,
) {
  t.true(whole)
  t.is(status, http, text)
  t.is(headers.get('content-type'), 'application/json; charset=utf-8')
  t.deepEqual(Object.keys(json.error), ['code', 'message', 'status', 'details'])
  t.is(json.error.code, http)
  if (field !== undefined) t.is(json.error.details[0].fieldViolations[0].field, field)
}

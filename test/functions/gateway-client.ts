import type {ExecutionContext} from 'ava'
import {type Connection, connectTo, type Response} from '../http/connection.ts'

/** A request as sent: nothing is normalised, escaped or added. */
export interface Request {
  readonly method: string
  /** The request target of the first line: usually a path with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/**
 * Sends `request` on its own connection, and returns the one response, with its text as UTF-8.
 * @throws if anything follows the response
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

/** Decodes the text of a response, whose characters are bytes, as UTF-8. */
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

/** A request on its own connection, whose body the test sends piece by piece. */
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

  /** Sends more of the body. Returns false if the piece had to be buffered here. */
  write(piece: string | Uint8Array): boolean {
    const {socket} = this.connection
    // In one packet: a second one would wait until the first is acknowledged.
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

/** Checks that the error has the format of AIP-193, and that its violation names `field`. */
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

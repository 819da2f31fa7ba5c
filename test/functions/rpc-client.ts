import {type Connection, connectTo, type Response} from '../http/connection.ts'

/** An RPC request as sent. */
export interface RpcRequest {
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/** A message in its envelope. */
export interface Envelope {
  readonly flags: number
  readonly data: Buffer
}

/** A response whose body is bytes. */
export interface RpcResponse extends Response {
  readonly bytes: Buffer
}

/** Sends `request` on its own connection, and returns the one response. @throws if anything follows the response */
export async function ask(url: string, request: RpcRequest): Promise<RpcResponse> {
  await using connection = await connectTo(url)
  write(connection, {...request, headers: {connection: 'close', ...request.headers}})
  const response = await received(connection, request.method)
  await connection.closed
  if (connection.rest) throw new Error(`After the response came ${JSON.stringify(connection.rest)}`)
  return response
}

/** Sends all of `request`. */
export function write(connection: Connection, {method = 'POST', path, headers = {}, body = ''}: RpcRequest): void {
  const lines = Object.entries({host: 'localhost', 'content-length': String(Buffer.byteLength(body)), ...headers})
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  connection.socket.write(
    Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head}\r\n`, 'latin1'), Buffer.from(body)]),
  )
}

export async function received(connection: Connection, method = 'POST'): Promise<RpcResponse> {
  const response = await connection.response(method)
  return {...response, bytes: Buffer.from(response.text, 'latin1')}
}

/** `data` in an envelope. */
export function envelope(data: string | Uint8Array = '', flags = 0): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = flags
  prefix.writeUInt32BE(Buffer.byteLength(data), 1)
  return Buffer.concat([prefix, Buffer.from(data)])
}

/** The envelopes of a body. @throws if the body ends inside one */
export function envelopesIn(body: Buffer): Envelope[] {
  const all: Envelope[] = []
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    if (end > body.length) throw new Error(`The body ends within a message: ${body.toString('latin1')}`)
    all.push({flags: body[at]!, data: body.subarray(at + 5, end)})
    at = end
  }
  return all
}

/** The messages of a stream, and its end: the JSON of Connect's last envelope, or gRPC-Web's trailers. */
export function streamIn(body: Buffer) {
  const all = envelopesIn(body)
  const last = all.pop()
  if (!last || (last.flags & 0b1000_0010) === 0) throw new Error('The stream has no end')
  const end = last.flags === 2 ? JSON.parse(last.data.toString()) : trailersIn(last.data)
  return {messages: all, end}
}

function trailersIn(data: Buffer): Record<string, string> {
  const lines = data.toString('latin1').split('\r\n')
  if (lines.pop() !== '') throw new Error('The trailers do not end with a line')
  return Object.fromEntries(lines.map((line) => /^([^:]+): ?(.*)$/.exec(line)!.slice(1)))
}

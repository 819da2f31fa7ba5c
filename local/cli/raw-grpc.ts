import {type ClientHttp2Session, connect, type IncomingHttpHeaders} from 'node:http2'

/** The answer to one message, from a gRPC server or any other. */
export interface RawAnswer {
  /** The HTTP status. */
  readonly http: number
  readonly headers: IncomingHttpHeaders
  /** The gRPC status; undefined where no gRPC server answered. */
  readonly status: number | undefined
  /** The bytes of the body: gRPC frames, or any other content. */
  readonly body: Buffer
}

/** Opens an HTTP/2 connection, and waits for the peer's first frames. @throws {Error} Node's error if the connection fails */
export async function openSession(url: string, signal: AbortSignal): Promise<ClientHttp2Session> {
  const session = connect(url)
  const settled = Promise.withResolvers<ClientHttp2Session>()
  session
    .on('error', settled.reject)
    // Node's session does not report errors of its socket after the handshake, which is when TLS 1.3 refuses client certificates.
    .once('connect', (_, socket) => socket.on('error', settled.reject))
    .once('remoteSettings', () => settled.resolve(session))
    .once('close', () => settled.reject(new Error('Connection closed')))
  const onAbort = () => settled.reject(signal.reason)
  signal.addEventListener('abort', onAbort, {once: true})
  try {
    return await settled.promise
  } catch (error) {
    session.destroy()
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** The most of an answer that is looked at, in bytes. */
const most = 1024 * 1024

/** Sends one message to `path`, such as `/grpc.health.v1.Health/Check`, and reads the answer in any form. */
export async function rawCall(
  session: ClientHttp2Session,
  path: string,
  message: Uint8Array,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<RawAnswer> {
  const stream = session.request(
    {':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers},
    {signal},
  )
  const answered = Promise.withResolvers<IncomingHttpHeaders>()
  let trailers: IncomingHttpHeaders = {}
  stream
    .once('response', answered.resolve)
    .once('trailers', (given) => {
      trailers = given
    })
    .once('close', () => answered.reject(new Error('The stream was closed without an answer')))
    .on('error', answered.reject)
  const frame = Buffer.alloc(5 + message.length)
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, 5)
  stream.end(frame)
  const responseHeaders = await answered.promise
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of stream) {
    size += piece.length
    if (size > most) break
    pieces.push(piece)
  }
  const told = {...responseHeaders, ...trailers}
  const isGrpc = /^application\/grpc/.test(String(responseHeaders['content-type'] ?? ''))
  return {
    http: Number(responseHeaders[':status']),
    headers: responseHeaders,
    status: isGrpc && told['grpc-status'] !== undefined ? Number(told['grpc-status']) : undefined,
    body: Buffer.concat(pieces),
  }
}

/** The first message of a body in frames of gRPC; undefined when there is none. */
export function firstMessage({body}: RawAnswer): Buffer | undefined {
  return body.length >= 5 && body[0] === 0 ? body.subarray(5, 5 + body.readUInt32BE(1)) : undefined
}

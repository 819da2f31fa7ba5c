import {type ClientHttp2Session, connect, type IncomingHttpHeaders} from 'node:http2'

/** What came back for one message, whoever answered. */
export interface RawAnswer {
  /** The HTTP status. */
  readonly http: number
  readonly headers: IncomingHttpHeaders
  /** The gRPC status; undefined where no gRPC server answered. */
  readonly status: number | undefined
  readonly message: string
  /** The bytes of the body: frames of gRPC, or what stood there in their place. */
  readonly body: Buffer
}

/** Opens a connection of HTTP/2, and waits for the peer's first words. @throws what Node says of a connection that fails */
export async function openSession(url: string, signal: AbortSignal): Promise<ClientHttp2Session> {
  const session = connect(url)
  const settled = Promise.withResolvers<ClientHttp2Session>()
  session
    .on('error', settled.reject)
    // Node's session does not report what its socket fails with after the handshake: TLS 1.3 refuses client certificates then.
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

/** Sends one message to `path`, such as `/grpc.health.v1.Health/Check`, and reads the answer, in whatever form it comes. */
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
    message: decodeURIComponent(String(told['grpc-message'] ?? '')),
    body: Buffer.concat(pieces),
  }
}

/** The first message of a body in frames of gRPC; undefined when there is none. */
export function firstMessage({body}: RawAnswer): Buffer | undefined {
  return body.length >= 5 && body[0] === 0 ? body.subarray(5, 5 + body.readUInt32BE(1)) : undefined
}

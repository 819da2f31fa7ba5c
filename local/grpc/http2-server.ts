import http2, {type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream} from 'node:http2'
import type {Server, ServerCredentials} from '@grpc/grpc-js'

export interface Http2Options {
  /** The HTTP/2 window of each stream and of each connection, in bytes. */
  window: number
  /** Called for every stream before gRPC sees it. False: the stream has been answered. */
  admit?: ((stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean | Promise<boolean>) | undefined
}

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => void

/** HTTP/2's own default, which cannot be made smaller for a connection. */
const defaultWindow = 65535

/**
 * The HTTP/2 server of a gRPC server, not listening yet. grpc-js creates it privately: no option sets its windows (grpc-node #3058), and
 * nothing can see a stream before grpc-js. So `createServer` of node:http2 is replaced while grpc-js creates the server. This happens in
 * one synchronous call, so no other code is affected.
 */
export function http2ServerOf(server: Server, credentials: ServerCredentials, options: Http2Options): Http2Server {
  const {createServer, createSecureServer} = http2
  let made: Http2Server | undefined
  try {
    http2.createServer = ((given: http2.ServerOptions) =>
      (made = createServer(withOurs(given, options.window)))) as typeof createServer
    http2.createSecureServer = ((given: http2.SecureServerOptions) =>
      (made = createSecureServer(withOurs(given, options.window)))) as typeof createSecureServer
    server.createConnectionInjector(credentials)
  } finally {
    Object.assign(http2, {createServer, createSecureServer})
  }
  if (!made) throw new Error('Cannot set the windows of a gRPC server: grpc-js no longer calls http2.createServer()')
  made.on('session', (session) => {
    if (options.window > defaultWindow) session.setLocalWindowSize(options.window)
  })
  stepInFront(made, options.admit ?? (() => true))
  return made
}

/** The stream for which grpc-js is creating a call, for interceptors, which are created at that moment. */
export function streamBeingOpened(): ServerHttp2Stream | undefined {
  return opening
}

let opening: ServerHttp2Stream | undefined

function withOurs<T extends http2.ServerOptions>(options: T, window: number): T {
  const settings = window > defaultWindow ? {...options.settings, initialWindowSize: window} : options.settings
  // Ten pings unless set: each client stream that ends sends one, see resetIsNoEnd.
  return {...options, ...(settings && {settings}), maxOutstandingPings: 1000}
}

function stepInFront(server: Http2Server, admit: NonNullable<Http2Options['admit']>): void {
  const listeners = server.listeners('stream') as StreamListener[]
  server.removeAllListeners('stream')
  server.on('stream', ((stream, headers, ...rest) => {
    // Until grpc-js handles errors, or in place of it: each error is followed by a `close`.
    stream.on('error', () => {})
    const pass = () => {
      if (stream.destroyed || stream.closed) return
      opening = stream
      try {
        for (const listener of listeners) listener.call(server, stream, headers, ...rest)
        // A request without a message may have ended while it waited to be admitted.
        if (stream.readableEnded) stream.emit('end')
      } finally {
        opening = undefined
      }
    }
    const admitted = admit(stream, headers)
    if (admitted === true) pass()
    else if (admitted) admitted.then((yes) => yes && pass())
  }) as StreamListener)
}

import {once} from 'node:events'
import {createServer as createHttpServer} from 'node:http'
import {createServer as createGrpcServer} from 'node:http2'
import type {AddressInfo} from 'node:net'

/** The servers that functions call while their compile caches are made. */
export interface Peers {
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

/**
 * Minimal servers on this machine that answer every call of a function, so that V8 compiles the code of a first request: a gRPC server
 * that answers one empty message, a metadata server, and a Storage whose objects are empty. The real local stack is not deployed.
 */
export async function startPeers(): Promise<Peers> {
  const grpc = createGrpcServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, {'content-type': 'application/grpc', trailer: 'grpc-status'})
      response.write(Buffer.alloc(5))
      response.addTrailers({'grpc-status': '0'})
      response.end()
    })
  })
  const google = createHttpServer((request, response) => {
    response.setHeader('metadata-flavor', 'Google')
    if (!request.url?.startsWith('/computeMetadata/')) return void response.end(JSON.stringify(emptyObject))
    response.end(`e30.${Buffer.from(JSON.stringify({exp: Date.now() / 1000 + 3600})).toString('base64url')}.e30`)
  })
  const ports = await Promise.all(
    [grpc, google].map(async (server) => {
      await once(server.listen(0, '127.0.0.1'), 'listening')
      return (server.address() as AddressInfo).port
    }),
  )
  const [backend, metadata] = ports.map((port) => `127.0.0.1:${port}`)
  return {
    env: {
      BACKEND_URL: `http://${backend}`,
      BACKEND_AUDIENCE: 'https://warm-up.invalid',
      GCE_METADATA_HOST: metadata!,
      STORAGE_EMULATOR_HOST: `http://${metadata}`,
      UPLOAD_BUCKETS: 'bucket',
      UPLOAD_CONTEXT: 'creatorId=me; name={object}',
    },
    async close() {
      google.closeAllConnections()
      const closed = [grpc, google].map((server) => once(server, 'close'))
      for (const server of [grpc, google]) server.close()
      await Promise.all(closed)
    },
  }
}

/** `crc32c` is that of no bytes. */
const emptyObject = {generation: '1', size: '0', crc32c: 'AAAAAA=='}

import {createServer} from 'node:http2'
import {createClient} from '@connectrpc/connect'
import {connectNodeAdapter, createGrpcTransport} from '@connectrpc/connect-node'
import {Compute, IdTokenClient} from 'google-auth-library'
import {Kinds} from '../../test/local/kinds.ts'

/** connect-es as a proxy of streams, without the framework, over HTTP/2, which it needs for bidirectional streams. */
const auth = new IdTokenClient({targetAudience: process.env.BACKEND_AUDIENCE, idTokenProvider: new Compute()})
const token = (next) => async (request) => {
  request.header.set('authorization', (await auth.getRequestHeaders()).get('authorization'))
  return await next(request)
}
const client = createClient(Kinds, createGrpcTransport({baseUrl: process.env.BACKEND_URL, interceptors: [token]}))
const routes = (router) =>
  router.service(Kinds, {
    up: (requests) => client.up(requests),
    down: (request) => client.down(request),
    both: (requests) => client.both(requests),
  })

createServer(connectNodeAdapter({routes})).listen(Number(process.env.PORT))

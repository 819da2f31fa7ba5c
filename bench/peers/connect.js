import {createServer} from 'node:http'
import {createClient} from '@connectrpc/connect'
import {connectNodeAdapter, createGrpcTransport} from '@connectrpc/connect-node'
import {Compute, IdTokenClient} from 'google-auth-library'
import {PingService} from '../../src/gen/ping/ping_pb.js'

/** connect-es as a proxy on Node's own server, without the framework: Connect's JSON in, gRPC out. */
// It caches a token until it expires; Compute.fetchIdToken would ask the metadata server for each call.
const auth = new IdTokenClient({targetAudience: process.env.BACKEND_AUDIENCE, idTokenProvider: new Compute()})
const token = (next) => async (request) => {
  request.header.set('authorization', (await auth.getRequestHeaders()).get('authorization'))
  return await next(request)
}
const client = createClient(PingService, createGrpcTransport({baseUrl: process.env.BACKEND_URL, interceptors: [token]}))
const routes = (router) => router.service(PingService, {send: (request) => client.send(request)})

createServer(connectNodeAdapter({routes})).listen(Number(process.env.PORT))

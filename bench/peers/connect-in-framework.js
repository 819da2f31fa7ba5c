import {create, toJson} from '@bufbuild/protobuf'
import {createClient} from '@connectrpc/connect'
import {createGrpcTransport} from '@connectrpc/connect-node'
import {http} from '@google-cloud/functions-framework'
import {Compute, IdTokenClient} from 'google-auth-library'
import {PingService, RequestSchema, ResponseSchema} from '../../src/gen/ping/ping_pb.js'

/** `ping` by hand as in by-hand.js, with connect-es as the gRPC client. */
// It caches a token until it expires; Compute.fetchIdToken would ask the metadata server for each call.
const auth = new IdTokenClient({targetAudience: process.env.BACKEND_AUDIENCE, idTokenProvider: new Compute()})
const token = (next) => async (request) => {
  request.header.set('authorization', (await auth.getRequestHeaders()).get('authorization'))
  return await next(request)
}
const client = createClient(PingService, createGrpcTransport({baseUrl: process.env.BACKEND_URL, interceptors: [token]}))

http('connect', async (request, response) => {
  try {
    const reply = await client.send(create(RequestSchema, {message: request.query.message ?? request.body.message}))
    response.json(toJson(ResponseSchema, reply))
  } catch (error) {
    response.status(500).json({error: error.message})
  }
})

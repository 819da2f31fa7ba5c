import {create, fromBinary, toBinary, toJson} from '@bufbuild/protobuf'
import {http} from '@google-cloud/functions-framework'
import {Client, credentials, Metadata} from '@grpc/grpc-js'
import {Compute, IdTokenClient} from 'google-auth-library'
import {RequestSchema, ResponseSchema} from '../../src/gen/ping/ping_pb.js'

/** As in by-hand.js, but with a new client for each request, as in many examples. */
// It caches a token until it expires; Compute.fetchIdToken would ask the metadata server for each call.
const auth = new IdTokenClient({targetAudience: process.env.BACKEND_AUDIENCE, idTokenProvider: new Compute()})

http('perRequest', async (request, response) => {
  const client = new Client(new URL(process.env.BACKEND_URL).host, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  })
  const metadata = new Metadata()
  metadata.set('authorization', (await auth.getRequestHeaders()).get('authorization'))
  client.makeUnaryRequest(
    '/ping.PingService/Send',
    (message) => Buffer.from(toBinary(RequestSchema, message)),
    (bytes) => fromBinary(ResponseSchema, bytes),
    create(RequestSchema, {message: request.query.message}),
    metadata,
    (error, reply) => {
      client.close()
      if (error) response.status(500).json({error: error.message})
      else response.json(toJson(ResponseSchema, reply))
    },
  )
})

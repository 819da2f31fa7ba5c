import {create, fromBinary, toBinary, toJson} from '@bufbuild/protobuf'
import {http} from '@google-cloud/functions-framework'
import {Client, credentials, Metadata} from '@grpc/grpc-js'
import {Compute, IdTokenClient} from 'google-auth-library'
import {RequestSchema, ResponseSchema} from '../../src/gen/ping/ping_pb.js'

/**
 * `ping` as one would write it by hand, by GET and POST: one client, Google's library for the token, and none of our features.
 */
const client = new Client(new URL(process.env.BACKEND_URL).host, credentials.createInsecure())
// It caches a token until it expires; Compute.fetchIdToken would ask the metadata server for each call.
const auth = new IdTokenClient({targetAudience: process.env.BACKEND_AUDIENCE, idTokenProvider: new Compute()})

http('byHand', async (request, response) => {
  const metadata = new Metadata()
  metadata.set('authorization', (await auth.getRequestHeaders()).get('authorization'))
  client.makeUnaryRequest(
    '/ping.PingService/Send',
    (message) => Buffer.from(toBinary(RequestSchema, message)),
    (bytes) => fromBinary(ResponseSchema, bytes),
    create(RequestSchema, {message: request.query.message ?? request.body.message}),
    metadata,
    (error, reply) => {
      if (error) response.status(500).json({error: error.message})
      else response.json(toJson(ResponseSchema, reply))
    },
  )
})

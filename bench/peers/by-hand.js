import {create, fromBinary, toBinary, toJson} from '@bufbuild/protobuf'
import {http} from '@google-cloud/functions-framework'
import {Client, credentials, Metadata} from '@grpc/grpc-js'
import {Compute} from 'google-auth-library'
import {RequestSchema, ResponseSchema} from '../../src/gen/ping/ping_pb.js'

/** `ping` as one writes it by hand: one client, Google's library for the token, and none of our features. */
const client = new Client(new URL(process.env.BACKEND_URL).host, credentials.createInsecure())
const auth = new Compute()

http('byHand', async (request, response) => {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${await auth.fetchIdToken(process.env.BACKEND_AUDIENCE)}`)
  client.makeUnaryRequest(
    '/ping.PingService/Send',
    (message) => Buffer.from(toBinary(RequestSchema, message)),
    (bytes) => fromBinary(ResponseSchema, bytes),
    create(RequestSchema, {message: request.query.message}),
    metadata,
    (error, reply) => {
      if (error) response.status(500).json({error: error.message})
      else response.json(toJson(ResponseSchema, reply))
    },
  )
})

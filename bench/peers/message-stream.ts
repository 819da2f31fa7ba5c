import {once} from 'node:events'
import {create, fromBinary, type Message, toBinary} from '@bufbuild/protobuf'
import {http} from '@google-cloud/functions-framework'
import {Client, credentials, Metadata, type ServiceError} from '@grpc/grpc-js'
import {Compute} from 'google-auth-library'
import {Kinds, type Numbered} from '../../test/local/kinds.ts'

/** Writes `?count=` empty messages to a grpc-js client stream, as in its documentation. */
const client = new Client(new URL(process.env.BACKEND_URL!).host, credentials.createInsecure())
const auth = new Compute()
const {input, output} = Kinds.method.up!

http('stream', async (request, response) => {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${await auth.fetchIdToken(process.env.BACKEND_AUDIENCE!)}`)
  const reply = Promise.withResolvers<Numbered>()
  const call = client.makeClientStreamRequest(
    '/test.Kinds/Up',
    (message: Message) => Buffer.from(toBinary(input, message)),
    (bytes) => fromBinary(output, bytes) as Numbered,
    metadata,
    (error: ServiceError | null, value?: Numbered) => (error ? reply.reject(error) : reply.resolve(value!)),
  )
  for (let left = Number(request.query.count); left > 0; left--) {
    if (!call.write(create(input))) await once(call, 'drain')
  }
  call.end()
  await reply.promise
  response.json({})
})

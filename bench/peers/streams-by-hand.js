import {once} from 'node:events'
import {fromBinary, fromJsonString, toBinary, toJsonString} from '@bufbuild/protobuf'
import {http} from '@google-cloud/functions-framework'
import {Client, credentials, Metadata} from '@grpc/grpc-js'
import {Compute, IdTokenClient} from 'google-auth-library'
import {Kinds} from '../../test/local/kinds.ts'

/**
 * `test.Kinds` as one would write it by hand: NDJSON to and from the streams of grpc-js, with back-pressure and none of our other
 * features.
 */
const client = new Client(new URL(process.env.BACKEND_URL).host, credentials.createInsecure())
const auth = new IdTokenClient({targetAudience: process.env.BACKEND_AUDIENCE, idTokenProvider: new Compute()})
const {input, output} = Kinds.method.one
const serialize = (message) => Buffer.from(toBinary(input, message))
const deserialize = (bytes) => fromBinary(output, bytes)

http('streams', async (request, response) => {
  const metadata = new Metadata()
  metadata.set('authorization', (await auth.getRequestHeaders()).get('authorization'))
  response.setHeader('content-type', 'application/x-ndjson')
  const messages = request.rawBody.toString().trim().split('\n')
  if (request.path === '/test.Kinds/Down') {
    const message = fromJsonString(input, messages[0])
    await send(client.makeServerStreamRequest(request.path, serialize, deserialize, message, metadata), response)
  } else if (request.path === '/test.Kinds/Up') {
    const reply = Promise.withResolvers()
    const call = client.makeClientStreamRequest(request.path, serialize, deserialize, metadata, (error, value) =>
      error ? reply.reject(error) : reply.resolve(value),
    )
    await receive(messages, call)
    response.end(toJsonString(output, await reply.promise))
  } else {
    const call = client.makeBidiStreamRequest(request.path, serialize, deserialize, metadata)
    await Promise.all([receive(messages, call), send(call, response)])
  }
})

async function receive(messages, call) {
  for (const message of messages) {
    if (!call.write(fromJsonString(input, message))) await once(call, 'drain')
  }
  call.end()
}

async function send(call, response) {
  for await (const message of call) {
    if (!response.write(`${toJsonString(output, message)}\n`)) await once(response, 'drain')
  }
  response.end()
}

import {once} from 'node:events'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {http} from '@google-cloud/functions-framework'
import {Client, credentials, Metadata, type ServiceError} from '@grpc/grpc-js'
import {Compute} from 'google-auth-library'
import {type PersonReq, PersonReqSchema, type PersonRes, PersonResSchema} from '../../src/gen/person/person_pb.js'

/** As many empty messages as `?count=` says, written to a grpc-js client stream as its documentation has it. */
const client = new Client(new URL(process.env.BACKEND_URL!).host, credentials.createInsecure())
const auth = new Compute()

http('stream', async (request, response) => {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${await auth.fetchIdToken(process.env.BACKEND_AUDIENCE!)}`)
  const reply = Promise.withResolvers<PersonRes>()
  const call = client.makeClientStreamRequest(
    '/person.SearchService/SearchIn',
    (message: PersonReq) => Buffer.from(toBinary(PersonReqSchema, message)),
    (bytes) => fromBinary(PersonResSchema, bytes),
    metadata,
    (error: ServiceError | null, value?: PersonRes) => (error ? reply.reject(error) : reply.resolve(value!)),
  )
  for (let left = Number(request.query.count); left > 0; left--) {
    if (!call.write(create(PersonReqSchema))) await once(call, 'drain')
  }
  call.end()
  await reply.promise
  response.json({})
})

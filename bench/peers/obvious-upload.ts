import {Transform} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {http} from '@google-cloud/functions-framework'
import {Storage} from '@google-cloud/storage'
import {Client, credentials, Metadata, type ServiceError} from '@grpc/grpc-js'
import {Compute} from 'google-auth-library'
import {
  type RepoCreateReply,
  RepoCreateReplySchema,
  type RepoCreateRequest,
  RepoCreateRequestSchema,
} from '../../src/gen/repo_pb.js'

/**
 * The obvious implementation: the Storage library's read stream, with its defaults, piped into a grpc-js client stream. Each read prints
 * two MaxListenersExceededWarnings, which are the library's own: its stream adds the listeners to a PassThrough that it has made itself
 * (googleapis/google-cloud-node#9185).
 */
const storage = new Storage()
const client = new Client(new URL(process.env.BACKEND_URL!).host, credentials.createInsecure())
const auth = new Compute()

http('obvious', async (request, response) => {
  const {bucket, object, context} = request.body
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${await auth.fetchIdToken(process.env.BACKEND_AUDIENCE!)}`)
  const reply = Promise.withResolvers<RepoCreateReply>()
  const call = client.makeClientStreamRequest(
    '/Repo/CreateRepo',
    (message: RepoCreateRequest) => Buffer.from(toBinary(RepoCreateRequestSchema, message)),
    (bytes) => fromBinary(RepoCreateReplySchema, bytes),
    metadata,
    (error: ServiceError | null, value?: RepoCreateReply) => (error ? reply.reject(error) : reply.resolve(value!)),
  )
  call.write(create(RepoCreateRequestSchema, {body: {case: 'context', value: context}}))
  const messages = new Transform({
    readableObjectMode: true,
    transform: (data, _, done) => done(null, create(RepoCreateRequestSchema, {body: {case: 'data', value: data}})),
  })
  await pipeline(
    storage.bucket(bucket).file(object).createReadStream(),
    messages,
    call as unknown as NodeJS.WritableStream,
  )
  response.json({size: (await reply.promise).size})
})

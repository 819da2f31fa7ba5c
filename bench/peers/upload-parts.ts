import {create} from '@bufbuild/protobuf'
import type {Runtime} from '../../src/clients/runtime.ts'
import {callOf, onlyAnswer} from '../../src/clients/service-client.ts'
import {Repo, type RepoCreateReply, RepoCreateRequestSchema} from '../../src/gen/repo_pb.js'
import {only} from '../../src/http/request/methods.ts'
import {json} from '../../src/http/response/reply.ts'
import type {Handler, Scope} from '../../src/http/scope.ts'
import {run} from '../../src/run.ts'
import {type FieldPath, findField} from '../../src/transcoding/fields/fields.ts'
import {chunksOf} from '../../src/upload/chunks.ts'
import {framer, headroom} from '../../src/upload/frame.ts'

/**
 * The two halves of an upload, each alone, by the code that `upload` uses: nothing that moves the same bytes on one thread can be faster than
 * the slower half.
 */
const chunkBytes = 256 * 1024
const method = Repo.method.createRepo
const frame = framer(findField(method.input, 'data') as FieldPath)

run(process.env, {reading, sending})

/** Reads the object from Storage, and drops its bytes. */
function reading(runtime: Runtime): Handler {
  return only(['POST'], async (scope) => {
    let size = 0
    for await (const piece of await piecesOf(runtime, scope, await jobOf(scope))) size += piece.length
    return json({size})
  })
}

/** Sends the messages of an upload that are in memory since the first request. */
function sending(runtime: Runtime): Handler {
  const kept = new Map<string, Uint8Array[]>()
  const backend = runtime.config.backendOf(Repo.typeName)
  return only(['POST'], async (scope) => {
    const job = await jobOf(scope)
    let messages = kept.get(job.object)
    if (!messages) {
      messages = []
      for await (const {bytes} of chunksOf(await piecesOf(runtime, scope, job), {size: chunkBytes, headroom})) {
        messages.push(frame(Buffer.concat([Buffer.alloc(headroom), bytes]).subarray(headroom)))
      }
      kept.set(job.object, messages)
    }
    const first = create(RepoCreateRequestSchema, {body: {case: 'context', value: job.context as never}})
    async function* requests() {
      yield first
      yield* messages!
    }
    const call = callOf(runtime, {life: scope, backend, method, requests}, {timeout: Number.POSITIVE_INFINITY})
    const {size} = (await scope.track(onlyAnswer(call))) as RepoCreateReply
    return json({size})
  })
}

interface Job {
  readonly bucket: string
  readonly object: string
  readonly context: object
}

async function jobOf(scope: Scope): Promise<Job> {
  return JSON.parse((await scope.bytes()).toString())
}

async function piecesOf({storage}: Runtime, {signal}: Scope, job: Job): Promise<AsyncIterable<Uint8Array>> {
  return storage.readReusing(signal, await storage.versionOf(signal, {bucket: job.bucket, object: job.object}))
}

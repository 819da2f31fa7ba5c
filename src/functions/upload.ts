import type {Runtime} from '../clients/runtime.ts'
import {Repo} from '../gen/repo_pb.js'
import type {Handler} from '../http/scope.ts'
import * as library from '../upload/upload.ts'

/** The size in the reply is an int32. */
const maxBytes = 2 ** 31 - 1

/** Streams a Storage object, or the body itself, into Repo.CreateRepo. */
export function upload(runtime: Runtime): Handler {
  return library.upload(runtime, {
    method: Repo.method.createRepo,
    context: 'context',
    data: 'data',
    required: ['creatorId', 'name'],
    creator: 'creatorId',
    sizeOf: (reply) => reply.size,
    maxBytes,
  })
}

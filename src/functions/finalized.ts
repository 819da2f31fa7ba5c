import type {Runtime} from '../clients/runtime.ts'
import {Repo} from '../gen/repo_pb.js'
import type {Handler} from '../http/scope.ts'
import * as library from '../upload/finalized.ts'

/** The size in the reply is an int32. */
const maxBytes = 2 ** 31 - 1

/** Streams each object that Storage finalizes into Repo.CreateRepo, with a context by UPLOAD_CONTEXT. */
export function finalized(runtime: Runtime): Handler {
  return library.finalized(runtime, {
    method: Repo.method.createRepo,
    context: 'context',
    data: 'data',
    required: ['creatorId', 'name'],
    sizeOf: (reply) => reply.size,
    maxBytes,
  })
}

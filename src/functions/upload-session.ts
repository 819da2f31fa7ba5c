import type {Runtime} from '../clients/runtime.ts'
import {Repo} from '../gen/repo_pb.js'
import type {Handler} from '../http/scope.ts'
import * as library from '../upload/session.ts'

/** The limit of upload. */
const maxBytes = 2 ** 31 - 1

/** POST {"size", "contentType"?}: answers with a URL of Storage for a file that is too large for one request of upload. */
export function uploadSession(runtime: Runtime): Handler {
  return library.uploadSession(runtime, {method: Repo.method.createRepo, maxBytes})
}

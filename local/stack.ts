import {type Backend, type BackendOptions, startBackend} from './grpc/backend.ts'
import {type Env, localBucket, type Parts, startParts} from './parts.ts'

/** The local stack of this repository, with its own services. */
export type Stack = Parts<Backend>

/** The bucket with the sample objects. */
export const sampleBucket = localBucket

/** Starts the parts that `given` does not name: a metadata server, gRPC services that require its ID tokens, and Storage. */
export function startStack(given: Env = {}, options: BackendOptions = {}, metadataPort = 0): Promise<Stack> {
  return startParts(given, ({iam}) => startBackend({...options, iam}), metadataPort)
}

import {addedServices} from './added-services.ts'
import {type Backend, type BackendOptions, startBackend} from './grpc/backend.ts'

/** Starts the gRPC services of this repository: its own, those of local/services.ts, and those of the samples. */
export async function startServices(options: BackendOptions): Promise<Backend> {
  return await startBackend({...options, ...(await addedServices())})
}

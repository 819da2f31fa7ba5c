import {type GrpcServer, type ServerOptions, startServer} from '../grpc/server.ts'
import {servicesOf, unimplemented} from '../project.ts'

/** Starts the gRPC services of the project in the working directory: those of local/services.ts, and the others of proto/. */
export async function startServices(options: ServerOptions): Promise<GrpcServer> {
  return await startServer({...options, services: await servicesOf(process.cwd()), unimplemented})
}

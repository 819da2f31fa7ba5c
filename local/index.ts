/** The local stack, for the tests of a project: its functions by the real framework, in front of real servers. */
export type {CallContext, Handlers} from './grpc/implement.ts'
export type {CallRecord} from './grpc/interceptors.ts'
export {type GrpcServer, type ServerOptions, startServer} from './grpc/server.ts'
export {type Service, service} from './grpc/service.ts'
export {StatusError} from './grpc/status-error.ts'
export type {MetadataServer} from './identity/metadata.ts'
export {type Local, type LocalOptions, startLocal} from './project.ts'
export type {StorageServer} from './storage/server.ts'

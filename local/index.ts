/** The local stack, for the tests of a project: its functions by the real framework, in front of real servers. */
export {freeze, thaw} from './faults/freeze.ts'
export {type Behaviour, type Direction, FaultProxy, type ProxyOptions, startProxy} from './faults/proxy.ts'
export {
  type Execution,
  FaultServer,
  type FaultServerOptions,
  startFaultServer,
  type Treatment,
} from './faults/server.ts'
export type {CallContext, Handlers} from './grpc/implement.ts'
export type {CallRecord} from './grpc/interceptors.ts'
export {type GrpcServer, type ServerOptions, startServer} from './grpc/server.ts'
export {type Service, service} from './grpc/service.ts'
export {StatusError} from './grpc/status-error.ts'
export {type MetadataOptions, type MetadataServer, startMetadataServer} from './identity/metadata.ts'
export {type Local, type LocalOptions, startLocal} from './project.ts'
export {
  type Delivery,
  type EventForm,
  type Fault as StorageFault,
  type Notifications,
  type ObjectEvent,
  type StorageOptions,
  type StorageServer,
  type Subscription,
  startStorage,
} from './storage/server.ts'

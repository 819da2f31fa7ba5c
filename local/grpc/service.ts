import type {DescService} from '@bufbuild/protobuf'
import {type Handlers, type Implementation, type ImplementOptions, implement} from './implement.ts'

/** A service of a local gRPC server. */
export interface Service {
  implement(options: ImplementOptions): Implementation
}

/**
 * A service with its handlers, for a local gRPC server. A handler takes messages and gives messages: a stream of them is an async
 * iterable. An error ends the call: a StatusError with its status, any other error with INTERNAL.
 * @param desc the service, as generated
 * @param handlers by the method's name; a method without one is UNIMPLEMENTED
 * @example
 * export const services = [service(PingService, {send: ({message}) => ({pong: {message}})})]
 */
export function service<S extends DescService>(desc: S, handlers: Handlers<S>): Service {
  return {implement: (options) => implement(desc, handlers, options)}
}

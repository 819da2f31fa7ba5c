import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import {once} from 'node:events'
import type {ServerResponse} from 'node:http'
import type {Socket} from 'node:net'
import type {Fault} from '../../src/core/fault.ts'
import type {Reply} from '../../src/http/response/reply.ts'
import type {Handler, Scope} from '../../src/http/scope.ts'

export const never = () => new Promise<never>(() => {})

/** A value that a handler may return although its type forbids it. */
export const garbage = (value: unknown) => value as Reply

/** A handler controlled by the test: `scope` resolves when it is called, and it returns when `reply` is called. */
export function held() {
  const called = Promise.withResolvers<Scope>()
  const reply = Promise.withResolvers<Reply>()
  const handler: Handler = (scope) => {
    called.resolve(scope)
    return reply.promise
  }
  return {handler, scope: called.promise, reply: reply.resolve}
}

export async function aborted({signal}: Scope): Promise<Fault> {
  if (!signal.aborted) await once(signal, 'abort')
  return signal.reason
}

/** The server's socket of the next connection with a request. */
export async function serverSocket(): Promise<Socket> {
  return (await serverResponse()).socket
}

/** The next response of a server, and the server's socket. */
export function serverResponse(): Promise<{response: ServerResponse; socket: Socket}> {
  const {promise, resolve} = Promise.withResolvers<{response: ServerResponse; socket: Socket}>()
  const listener = (message: unknown) => {
    unsubscribe('http.server.request.start', listener)
    resolve(message as {response: ServerResponse; socket: Socket})
  }
  subscribe('http.server.request.start', listener)
  return promise
}

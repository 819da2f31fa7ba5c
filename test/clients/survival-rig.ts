import type {DescMethod} from '@bufbuild/protobuf'
import {MethodOptions_IdempotencyLevel as Level} from '@bufbuild/protobuf/wkt'
import type {ExecutionContext} from 'ava'
import {startProxy} from '../../local/faults/proxy.ts'
import {type FaultServerOptions, startFaultServer} from '../../local/faults/server.ts'
import {openCalls} from '../../src/clients/calls.ts'
import {type CallOptions, callOf, createClient, onlyAnswer} from '../../src/clients/service-client.ts'
import {PingService, type Response} from '../../src/gen/ping/ping_pb.js'
import {runningTimers} from '../helpers/timers.ts'
import {Kinds} from '../local/kinds.ts'
import type {KindsClient} from './kinds.ts'
import {TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

let calls = 0

/** A runtime, a proxy that can break its connections, and a server that can misbehave in ways that no gRPC library allows. */
export async function survivalRig(t: ExecutionContext, options: FaultServerOptions = {}) {
  const server = await startFaultServer(options)
  const proxy = await startProxy({target: () => server.port})
  const runtime = runtimeOf({BACKEND_URL: proxy.url, BACKEND_AUDIENCE: 'none'})
  const backend = runtime.config.backendOf('any')
  t.teardown(async () => {
    runtime.close()
    await proxy.close()
    await server.close()
  })

  /** Calls `method` of the ping service, and returns the answer's message. */
  async function call(method: DescMethod, message: string, life: TestLife, callOptions: CallOptions = {}) {
    const request = {$typeName: method.input.typeName, message} as never
    const answer = await onlyAnswer(
      callOf(runtime, {life, backend, method, requests: () => [request]}, {timeout: 20_000, ...callOptions}),
    )
    return (answer as Response).pong?.message ?? ''
  }
  const newLife = () => new TestLife({id: `call-${++calls}`})

  return {
    server,
    proxy,
    runtime,
    backend,
    pool: runtime.channels.to(backend),
    kinds: createClient(runtime, Kinds) as unknown as KindsClient,
    newLife,
    /** Calls a method that must not run twice. */
    ask: (message: string, life = newLife(), callOptions?: CallOptions) =>
      call(PingService.method.send, message, life, callOptions),
    /** Calls a method that may be retried. */
    askAgain: (message: string, life = newLife(), callOptions?: CallOptions) =>
      call(repeatable(PingService.method.send), message, life, callOptions),
    /** Makes the connections look as if their last byte had arrived `ms` ago, as after a freeze. */
    age(ms: number) {
      for (const connection of runtime.channels.to(backend).connections) connection.heard -= ms
    },
    /** Fails if a call or a timer is left. */
    quiet() {
      t.deepEqual({calls: openCalls(), timers: runningTimers()}, {calls: 0, timers: []})
    },
  }
}

/** `method`, as if its proto said that it has no side effects. */
function repeatable(method: DescMethod): DescMethod {
  return {...method, idempotency: Level.NO_SIDE_EFFECTS} as DescMethod
}

/** Resolves as soon as `condition` is true. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

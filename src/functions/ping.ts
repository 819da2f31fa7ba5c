import type {Runtime} from '../clients/runtime.ts'
import {createClient} from '../clients/service-client.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {PingService, type Request, RequestSchema, ResponseSchema} from '../gen/ping/ping_pb.js'
import {only} from '../http/request/methods.ts'
import {message} from '../http/response/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {messageFromJson} from '../transcoding/json/message.ts'

/** GET /?message=… or POST {"message": …}: calls the Ping service, so a 200 means that the whole path works. */
export function ping(runtime: Runtime): Handler {
  const {send, sendUpstream} = createClient(runtime, PingService)
  const handler = only(['GET', 'POST'], async (scope) => {
    const request = await requestFrom(scope)
    const ask = flag(scope, 'upstream') ? sendUpstream : send
    return message(ResponseSchema, await ask(scope, request))
  })
  return Object.assign(handler, {
    access: ({query}: Scope) => ({
      methods: [`${PingService.typeName}/${query.get('upstream') === 'true' ? 'SendUpstream' : 'Send'}`],
    }),
  })
}

async function requestFrom(scope: Scope): Promise<Pick<Request, 'message'>> {
  if (scope.method !== 'POST') return {message: scope.query.get('message') ?? ''}
  const request = messageFromJson(RequestSchema, await scope.bytes())
  scope.hold(0)
  return request
}

function flag({query}: Scope, name: string): boolean {
  const value = query.get(name) ?? 'false'
  if (value !== 'true' && value !== 'false') {
    throw Fault.invalid(name, `Cannot read "${name}": expected true or false`, {
      callerOnly: `, got "${shortened(value)}"`,
    })
  }
  return value === 'true'
}

import type {Call} from './call.ts'

/**
 * Has `call` carry an ID token for its backend's audience. What a function sends as `authorization` of its own keeps its
 * place.
 * @throws {Fault} when there is none to be had
 */
export async function authorize(call: Call): Promise<void> {
  const {audience, tokenHeader} = call.backend
  if (!audience) return
  const {signal, log} = call.life
  if (call.idTokenHeader === undefined) {
    const taken = call.metadata.get('authorization').length > 0
    call.idTokenHeader = taken ? 'x-serverless-authorization' : tokenHeader
  }
  const source = call.runtime.idTokens.for(audience)
  const part = call.span && !source.isFresh ? call.span.part('id token') : undefined
  try {
    call.idToken = await source.token({signal, log, deadline: call.deadline})
  } finally {
    part?.end()
  }
  call.metadata.set(call.idTokenHeader, `Bearer ${call.idToken}`)
}

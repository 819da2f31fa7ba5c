import type {Call} from '../call.ts'

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
  let part: ReturnType<NonNullable<Call['span']>['part']> | undefined
  if (!source.isFresh) {
    // Side by side: the first request waits for the slower of both.
    if (!signal.aborted) call.runtime.channels.to(call.backend).prepare()
    part = call.span?.part('id token')
  }
  try {
    call.idToken = await source.token({signal, log, deadline: call.deadline})
  } finally {
    part?.end()
  }
  call.metadata.set(call.idTokenHeader, `Bearer ${call.idToken}`)
}

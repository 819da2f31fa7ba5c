import {abortReasonOf} from '../../core/life.ts'
import type {Call} from '../call.ts'

/**
 * Adds an ID token for the backend's audience to `call`. A function's own `authorization` keeps its
 * place.
 * @throws {Fault} when no token can be obtained
 */
export async function authorize(call: Call): Promise<void> {
  const {audience, tokenHeader} = call.backend
  if (!audience) return
  const {life} = call
  if (call.idTokenHeader === undefined) {
    const taken = call.metadata.get('authorization').length > 0
    call.idTokenHeader = taken ? 'x-serverless-authorization' : tokenHeader
  }
  const source = call.runtime.idTokens.for(audience)
  let part: ReturnType<NonNullable<Call['span']>['part']> | undefined
  if (!source.isFresh) {
    // At the same time, so the first request waits only for the slower of the two.
    if (!abortReasonOf(life)) call.runtime.channels.to(call.backend).prepare()
    part = call.span?.part('id token')
  }
  try {
    call.idToken = await source.token(life, call.deadline)
  } finally {
    part?.end()
  }
  call.metadata.set(call.idTokenHeader, source.bearer(call.idToken))
}

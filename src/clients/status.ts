import {fromBinary} from '@bufbuild/protobuf'
import {type Metadata, type StatusObject, status} from '@grpc/grpc-js'
import {codeOf, Fault, type FaultOptions} from '../core/fault.ts'
import {StatusSchema} from '../gen/google/rpc/status_pb.js'
import type {Call} from './call.ts'
import {adviceFor} from './causes.ts'
import {mostReceived} from './connecting.ts'
import {detailTypesOf} from './detail-types.ts'
import {type Ending, endingOf} from './grpc-internals.ts'
import {causeOf} from './probe.ts'

/** A call that is reset this long before its deadline, in ms, is taken to have met the backend's clock rather than ours. */
const clockSkew = 50

/**
 * A call's end as a Fault: what the service said, or why it could not say anything.
 * @throws {Fault} the reason of the life's signal, when that aborts before it is known why a backend cannot be reached
 */
export async function faultOf(end: StatusObject, call: Call): Promise<Fault> {
  const http = frontEndStatusOf(end, call)
  if (http !== undefined) return notGrpc(http, end, call)
  const answered = hasAnswered(end, call)
  const ending = endingOf(end, mostReceived)
  if (metDeadline(end, call, ending)) return late(end, call)
  if (answered && !ending) return said(end, call)
  return ending ? ended[ending](end, call) : await unanswered(end, call)
}

/** The HTTP status of what an HTTP server in front of the service answered in its place; undefined when none did. */
export function frontEndStatusOf(end: StatusObject, call: Call): number | undefined {
  const http = /^Received HTTP status code (\d+)/.exec(end.details)
  if (!http && !hasAnswered(end, call)) return undefined
  return isGrpc(call.header ?? end.metadata) ? undefined : Number(http?.[1] ?? 200)
}

function hasAnswered(end: StatusObject, {header = end.metadata}: Call): boolean {
  return Object.keys(header.getMap()).length > 0
}

/** Whether the connection broke, or the server cancelled the call before its deadline, without a word of the service. */
export function wasBroken(end: StatusObject, call: Call): boolean {
  const ending = endingOf(end, mostReceived)
  const isBroken = ending === 'broken' || (ending === 'reset' && end.code === status.CANCELLED)
  return isBroken && !hasAnswered(end, call) && !metDeadline(end, call, ending)
}

/** What a server says whose own clock ended the call. */
const ofDeadline: ReadonlySet<number> = new Set([status.CANCELLED, status.DEADLINE_EXCEEDED, status.INTERNAL])

/**
 * Whether the deadline ended the call. A server that keeps the deadline itself resets the call, or says CANCELLED or
 * INTERNAL, a moment before our own timer fires (grpc-go's client looks at the clock in the same way).
 */
function metDeadline({code}: StatusObject, {deadline}: Call, ending: Ending | undefined): boolean {
  if (ending === 'too large' || ending === 'unreadable' || Date.now() < deadline - clockSkew) return false
  return ending !== undefined || ofDeadline.has(code)
}

/** What the service itself said. */
function said(end: StatusObject, call: Call): Fault {
  const code = codeOf(end.code)
  return new Fault(code, end.details || `${nameOf(call)} failed`, {
    ...detailsOf(end, call),
    // 499 says that the caller hung up, and this one is still there.
    ...(code === 'CANCELLED' && {http: badGateway}),
    headers: challengeOf(end, call),
  })
}

/** HTTP's word for a backend that gave no valid answer: unlike 503 it does not invite the caller to repeat what may have been done. */
const badGateway = 502

const ended = {
  late,
  reset: (end, call) =>
    new Fault(codeOf(end.code), `The backend of ${nameOf(call)} reset the call`, {
      http: badGateway,
      reason: 'BACKEND_RESET',
      cause: end.details,
    }),
  broken: (end, call) =>
    new Fault('UNAVAILABLE', `The backend of ${nameOf(call)} broke off`, {
      reason: 'BACKEND_UNAVAILABLE',
      retryAfter: 1,
      cause: end.details,
    }),
  // Not the service's word for a quota of its own, though grpc-js gives it the same code.
  'too large': (end, call) =>
    new Fault('RESOURCE_EXHAUSTED', `${nameOf(call)} answered with a message of more than ${mostReceived} bytes`, {
      http: badGateway,
      reason: 'ANSWER_TOO_LARGE',
      cause: end.details,
    }),
  unreadable: (end, call) =>
    new Fault('INTERNAL', `${nameOf(call)} answered with a message that cannot be decompressed`, {
      http: badGateway,
      reason: 'ANSWER_UNREADABLE',
      cause: end.details ?? `grpc-encoding: ${call.header?.get('grpc-encoding').join() || 'unknown'}`,
    }),
} satisfies Record<Ending, (end: StatusObject, call: Call) => Fault>

function late(end: StatusObject, call: Call): Fault {
  return new Fault('DEADLINE_EXCEEDED', `${nameOf(call)} did not answer in time`, {cause: end.details})
}

/** What an HTTP server in front of the service answered in its place. */
function notGrpc(http: number, end: StatusObject, call: Call): Fault {
  const {url, audience} = call.backend
  if (http === 401 || http === 403) {
    if (audience && call.idToken) call.runtime.idTokens.for(audience).forget(call.idToken)
    return new Fault('UNAVAILABLE', `The backend of ${nameOf(call)} turned this function away`, {
      http: 502,
      reason: http === 401 ? 'BACKEND_UNAUTHENTICATED' : 'BACKEND_PERMISSION_DENIED',
      cause: end.details,
      hint: `${url} answered HTTP ${http} ${audience ? `to an ID token for the audience "${audience}"` : 'to a call without an ID token'}: grant roles/run.invoker on it to this function's service account${http === 401 ? ', and check that the audience is its URL or a custom audience of it' : ''}`,
    })
  }
  const passing = http === 429 || http === 503 || http === 504
  return new Fault('UNAVAILABLE', `The backend of ${nameOf(call)} is not available`, {
    http: passing ? 503 : 502,
    reason: passing ? 'BACKEND_UNAVAILABLE' : 'BACKEND_NOT_GRPC',
    cause: end.details,
    hint: `${url} answered HTTP ${http} without gRPC: is it the right URL, and does the service use HTTP/2?`,
  })
}

/** No server said this: grpc-js did. Its text names addresses, which are for the log. */
async function unanswered(end: StatusObject, call: Call): Promise<Fault> {
  const code = codeOf(end.code)
  const cause = end.details
  if (code !== 'UNAVAILABLE') return new Fault(code, `${nameOf(call)} failed`, {cause})
  const name = await causeOf(cause, call.backend, call.life)
  return new Fault(code, `The backend of ${nameOf(call)} cannot be reached`, {
    cause,
    reason: 'BACKEND_UNAVAILABLE',
    retryAfter: 1,
    ...(name && {hint: adviceFor(name, call.backend)}),
  })
}

/** How the service wants its callers to log in, where it says so. */
function challengeOf(end: StatusObject, {header}: Call): Record<string, string> {
  const [challenge] = [end.metadata, header].flatMap((metadata) => metadata?.get('www-authenticate') ?? [])
  return end.code === status.UNAUTHENTICATED && challenge ? {'www-authenticate': String(challenge)} : {}
}

function nameOf({method}: Call): string {
  return `${method.parent.typeName}.${method.name}`
}

function isGrpc(metadata: Metadata): boolean {
  return String(metadata.get('content-type')[0] ?? '').startsWith('application/grpc')
}

/** The details of a google.rpc.Status in `grpc-status-details-bin`; none where there is none that can be read. */
function detailsOf(end: StatusObject, call: Call): Pick<FaultOptions, 'details' | 'types'> {
  const [bytes] = end.metadata.get('grpc-status-details-bin')
  if (!(bytes instanceof Uint8Array)) return {}
  try {
    const {details} = fromBinary(StatusSchema, bytes)
    return {details, types: details.length > 0 ? detailTypesOf(call) : undefined}
  } catch {
    return {}
  }
}

import {fromBinary} from '@bufbuild/protobuf'
import {type Metadata, type StatusObject, status} from '@grpc/grpc-js'
import {codeOf, Fault, type FaultOptions} from '../core/fault.ts'
import {StatusSchema} from '../gen/google/rpc/status_pb.js'
import type {Call} from './call.ts'
import {adviceFor} from './connections/causes.ts'
import {mostReceived} from './connections/connecting.ts'
import {type Ending, endingOf, sentMessage} from './connections/grpc-internals.ts'
import {adviceOn, type LossName, lossIn} from './connections/losses.ts'
import {causeOf} from './connections/probe.ts'
import {detailTypesOf} from './detail-types.ts'

/** A reset at most this long before the deadline counts as the deadline by the backend's clock, in ms. */
const clockSkew = 50

/**
 * Makes a Fault of a call's status: the service's own status, or the reason why there is none.
 * @param loss why its connection broke off
 * @throws {Fault} the reason of the request's signal, if it aborts while the cause of a failed connection is looked for
 */
export async function faultOf(end: StatusObject, call: Call, loss?: LossName): Promise<Fault> {
  const http = frontEndStatusOf(end, call)
  if (http !== undefined) return notGrpc(http, end, call)
  const answered = hasAnswered(end, call)
  const ending = endingOf(end, mostReceived)
  if (metDeadline(end, call, ending)) return late(end, call)
  if (answered && !ending) return said(end, call)
  return ending ? ended[ending](end, call, loss) : await unanswered(end, call)
}

/** The HTTP status of a response by a proxy in front of the service; undefined when the service responded. */
export function frontEndStatusOf(end: StatusObject, call: Call): number | undefined {
  const http = /^Received HTTP status code (\d+)/.exec(end.details)
  if (!http && !hasAnswered(end, call)) return undefined
  return isGrpc(call.header ?? end.metadata) ? undefined : Number(http?.[1] ?? 200)
}

function hasAnswered(end: StatusObject, {header = end.metadata}: Call): boolean {
  return Object.keys(header.getMap()).length > 0
}

/** Whether the connection broke, or the server reset the call before its deadline, without a status of the service. */
export function wasBroken(end: StatusObject, call: Call): boolean {
  const ending = endingOf(end, mostReceived)
  const isBroken = ending === 'broken' || (ending === 'reset' && end.code === status.CANCELLED)
  const isOwn = !call.header && hasAnswered(end, call)
  return isBroken && !isOwn && !metDeadline(end, call, ending)
}

/** Codes that a server sends when its own clock ended the call. */
const ofDeadline: ReadonlySet<number> = new Set([status.CANCELLED, status.DEADLINE_EXCEEDED, status.INTERNAL])

/**
 * Whether the deadline ended the call. A server that enforces the deadline resets the call, or sends CANCELLED or INTERNAL,
 * shortly before our timer fires (grpc-go's client also looks at the clock).
 */
function metDeadline({code}: StatusObject, {deadline}: Call, ending: Ending | undefined): boolean {
  if (ending === 'too large' || ending === 'unreadable' || Date.now() < deadline - clockSkew) return false
  return ending !== undefined || ofDeadline.has(code)
}

/** Status details that grpc-js makes up for a response that ends without `grpc-status`. */
const withoutStatus = /^(?:Received HTTP status code \d+|No status information received)$/

/** The service's own status. */
function said(end: StatusObject, call: Call): Fault {
  const code = codeOf(end.code)
  const isMadeUp = sentMessage(end) === undefined && withoutStatus.test(end.details)
  const message = isMadeUp ? '' : (sentMessage(end) ?? end.details)
  return new Fault(code, message || `${nameOf(call)} failed`, {
    ...detailsOf(end, call),
    ...(isMadeUp && {cause: end.details, hint: `${call.backend.url} ended its answer without grpc-status`}),
    // 499 means that the caller hung up, but this caller is still connected.
    ...(code === 'CANCELLED' && {http: badGateway}),
    headers: challengeOf(end, call),
  })
}

/** Bad Gateway: unlike 503 it does not invite the caller to repeat a call that may have taken effect. */
const badGateway = 502

const ended = {
  late,
  reset: (end, call) =>
    new Fault(codeOf(end.code), `The backend of ${nameOf(call)} reset the call`, {
      http: badGateway,
      reason: 'BACKEND_RESET',
      cause: end.details,
    }),
  broken(end, call, known) {
    const loss = known === 'CLOSED' ? (lossIn(end.details) ?? known) : known
    return new Fault('UNAVAILABLE', `The backend of ${nameOf(call)} broke off`, {
      reason: 'BACKEND_UNAVAILABLE',
      retryAfter: 1,
      cause: end.details,
      ...(loss && {hint: adviceOn(loss, call.backend)}),
    })
  },
  // Not a quota of the service, although grpc-js uses the same code.
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
} satisfies Record<Ending, (end: StatusObject, call: Call, loss?: LossName) => Fault>

function late(end: StatusObject, call: Call): Fault {
  return new Fault('DEADLINE_EXCEEDED', `${nameOf(call)} did not answer in time`, {cause: end.details})
}

/** The failure for a response by a proxy in front of the service. */
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
    ...(passing && {retryAfter: 1}),
    cause: end.details,
    hint: `${url} answered HTTP ${http} without gRPC: is it the right URL, and does the service use HTTP/2?`,
  })
}

/** The failure for a status that grpc-js made up. Its text has addresses, which only the log may show. */
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

/** The service's `www-authenticate` header, if it sent one. */
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

/** The details of the google.rpc.Status in `grpc-status-details-bin`; empty if missing or unreadable. */
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

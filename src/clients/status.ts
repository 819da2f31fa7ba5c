import {fromBinary} from '@bufbuild/protobuf'
import type {Any} from '@bufbuild/protobuf/wkt'
import type {Metadata, StatusObject} from '@grpc/grpc-js'
import {codeOf, Fault} from '../core/fault.ts'
import {StatusSchema} from '../gen/google/rpc/status_pb.js'
import type {Call} from './calls.ts'
import {mostReceived} from './channels.ts'
import {idTokensFor} from './id-tokens.ts'

/** What grpc-js says when a call that a server had begun to answer breaks: nothing else tells it from the server's words. */
const ours =
  /^(Deadline exceeded after |Connection dropped$|Stream refused by server$|Call cancelled$|Received RST_STREAM with code |(read|write) E[A-Z]+$)/

/** A call's end as a Fault: what the service said, or why it could not say anything. */
export function faultOf(end: StatusObject, call: Call): Fault {
  const header = call.header ?? end.metadata
  const http = /^Received HTTP status code (\d+)/.exec(end.details)
  const answered = Object.keys(header.getMap()).length > 0
  if ((http || answered) && !isGrpc(header)) return notGrpc(Number(http?.[1] ?? 200), end, call)
  if (/^Received message larger than max/.test(end.details)) return tooLarge(end, call)
  if (!answered || ours.test(end.details)) return unanswered(end, call)
  return new Fault(codeOf(end.code), end.details || `${nameOf(call)} failed`, {details: detailsOf(end)})
}

/** Not the service's word for a quota of its own, though grpc-js gives it the same code. */
function tooLarge(end: StatusObject, call: Call): Fault {
  const message = `${nameOf(call)} answered with a message of more than ${mostReceived} bytes`
  return new Fault('RESOURCE_EXHAUSTED', message, {http: 502, reason: 'ANSWER_TOO_LARGE', cause: end.details})
}

/** What an HTTP server in front of the service answered in its place. */
function notGrpc(http: number, end: StatusObject, call: Call): Fault {
  const {url, audience} = call.backend
  if (http === 401 || http === 403) {
    if (audience) idTokensFor(audience).forget(tokenOf(call))
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
function unanswered(end: StatusObject, call: Call): Fault {
  const code = codeOf(end.code)
  const cause = end.details
  if (code === 'UNAVAILABLE') {
    const what = call.header ? 'broke off' : 'cannot be reached'
    return new Fault(code, `The backend of ${nameOf(call)} ${what}`, {cause, reason: 'BACKEND_UNAVAILABLE'})
  }
  if (code === 'DEADLINE_EXCEEDED') return new Fault(code, `${nameOf(call)} did not answer in time`, {cause})
  return new Fault(code, `${nameOf(call)} failed`, {cause})
}

function tokenOf({metadata}: Call): string {
  return String(metadata.get('authorization')[0] ?? '').replace(/^Bearer /, '')
}

function nameOf({method}: Call): string {
  return `${method.parent.typeName}.${method.name}`
}

function isGrpc(metadata: Metadata): boolean {
  return String(metadata.get('content-type')[0] ?? '').startsWith('application/grpc')
}

/** The details of a google.rpc.Status in `grpc-status-details-bin`; none where there is none that can be read. */
function detailsOf(end: StatusObject): Any[] {
  const [bytes] = end.metadata.get('grpc-status-details-bin')
  if (!(bytes instanceof Uint8Array)) return []
  try {
    return fromBinary(StatusSchema, bytes).details
  } catch {
    return []
  }
}

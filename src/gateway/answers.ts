import type {Message} from '@bufbuild/protobuf'
import type {Call} from '../clients/call.ts'
import {invoke} from '../clients/calls/interceptors.ts'
import {onlyAnswer} from '../clients/service-client.ts'
import type {Dialect} from '../core/dialect.ts'
import {onAbort} from '../core/life.ts'
import {atMost} from '../core/waiting.ts'
import {compressed} from '../http/response/compress.ts'
import {type Reply, stream} from '../http/response/reply.ts'
import type {Scope} from '../http/scope.ts'
import type {ResponseWriting} from '../transcoding/exchange.ts'
import {allHeadersOf, headersOf, wantedTrailers, withMetadataOfFailure} from './metadata.ts'
import {WithPauses} from './with-pauses.ts'

type Writing<Body extends ResponseWriting['body']> = Extract<ResponseWriting, {body: Body}>

/** Options for sending answers. */
export interface AnswerOptions {
  /** Interval of keep-alive comments on an idle event stream, in ms. */
  readonly ping: number
  readonly trailers: Dialect['trailers']
}

/** Makes `call`, and a reply from its answers. */
export async function answerOf(
  scope: Scope,
  call: Call,
  response: ResponseWriting,
  {ping, trailers}: AnswerOptions,
): Promise<Reply> {
  if (response.body === 'whole') return await wholeAnswer(scope, call, response, trailers)
  const answers = invoke(call)[Symbol.asyncIterator]() as AsyncIterator<Message>
  endWith(scope, answers)
  if (response.body === 'raw stream') return await rawStream(scope, call, response, answers)
  if (response.type === 'text/event-stream') return events(response, answers, ping)
  return await jsonStream(scope, call, response, answers)
}

async function wholeAnswer(
  scope: Scope,
  call: Call,
  {encode}: Writing<'whole'>,
  trailers: AnswerOptions['trailers'],
): Promise<Reply> {
  const answer = await scope.track(withMetadataOfFailure(scope, call, onlyAnswer(call), trailers))
  const {contentType, body, headers, status: own} = encode(answer)
  // 304 has priority over a status of the backend: the caller has this version already.
  const status = own === 304 ? own : (statusIn(call) ?? own ?? 200)
  const all = {...(trailers === 'headers' ? allHeadersOf(call) : headersOf(call)), ...headers}
  if (status === 304) return {status, headers: {...all, vary: 'accept-encoding'}}
  if (status === 204) return {status, headers: all}
  const reply = await compressed(scope, {status, headers: {...all, 'content-type': contentType}, body})
  return trailers === 'headers' ? reply : {...reply, trailers: wantedTrailers(scope, call)}
}

/** The HTTP status that the backend sets by the metadata `x-http-code`, as with grpc-gateway. Only a 2xx that allows a whole body. */
function statusIn({header}: Call): number | undefined {
  const [given] = header?.get('x-http-code') ?? []
  return given !== undefined && /^2(?!0[56])\d\d$/.test(String(given)) ? Number(given) : undefined
}

/**
 * Answers as events, after a comment that is sent at once: a browser waits for the response head, and hides error statuses from its
 * page. So every later error is an event.
 */
function events({type, encode, eventId}: Writing<'stream'>, answers: AsyncIterator<Message>, ping: number): Reply {
  const event = (answer: Message) => (eventId ? {json: encode(answer), id: eventId(answer)} : encode(answer))
  return stream(type, new WithPauses(answers, event, ping))
}

/** Answers as JSON, sent as they arrive. An error before the backend's metadata and the first answer has its own HTTP status. */
async function jsonStream(
  scope: Scope,
  call: Call,
  {type, contentType, encode}: Writing<'stream'>,
  answers: AsyncIterator<Message>,
): Promise<Reply> {
  const first = withMetadataOfFailure(scope, call, answers.next())
  first.catch(() => {})
  const isAnswered = await comesFirst(call, first)
  async function* values() {
    for (let next = await first; !next.done; next = await answers.next()) yield encode(next.value)
  }
  return {
    ...stream(type, values(), {...headersOf(call), ...(contentType && {'content-type': contentType})}),
    headFirst: !isAnswered,
  }
}

/** How long the response head waits after the backend's metadata for a first answer or an error, in ms. */
const afterHeader = 5

/** Resolves to true when `first` has settled, or to false when the backend's metadata has arrived and nothing follows it soon. */
export async function comesFirst(call: Call, first: Promise<unknown>): Promise<boolean> {
  const header = new Promise<false>((resolve) => {
    call.onHeader = () => resolve(false)
  })
  return (await Promise.race([first.then(() => true), header])) || (await atMost(afterHeader, first))
}

/** The bytes of each answer. The first one gives the Content-Type. */
async function rawStream(
  scope: Scope,
  call: Call,
  {encode}: Writing<'raw stream'>,
  answers: AsyncIterator<Message>,
): Promise<Reply> {
  const first = await withMetadataOfFailure(scope, call, answers.next())
  async function* body() {
    for (let next = first; !next.done; next = await answers.next()) yield encode(next.value).body
  }
  const contentType = first.done ? 'application/octet-stream' : encode(first.value).contentType
  return {headers: {...headersOf(call), 'content-type': contentType}, body: body()}
}

/** Ends the call at the end of its request, even if not all of its answers have been read. */
export function endWith(scope: Scope, answers: AsyncIterator<Message>): void {
  const end = () => void scope.track(Promise.try(() => answers.return?.()).catch(() => {}))
  onAbort(scope, end)
}

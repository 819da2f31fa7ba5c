import type {DescMethod, Message} from '@bufbuild/protobuf'
import type {Call} from '../../clients/call.ts'
import {invoke} from '../../clients/calls/interceptors.ts'
import {onlyAnswer} from '../../clients/service-client.ts'
import {ignoresUnknownFields} from '../../core/dialect.ts'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {callerTimeout} from '../../http/request/deadline.ts'
import {gzipped} from '../../http/response/compress.ts'
import type {Reply} from '../../http/response/reply.ts'
import type {Scope} from '../../http/scope.ts'
import {addRouting} from '../../transcoding/conventions/routing-header.ts'
import {rpcMetadata} from '../../transcoding/metadata.ts'
import {base64Body} from '../../transcoding/rpc/base64-body.ts'
import {endFrame} from '../../transcoding/rpc/ends.ts'
import {compressedFlag, framed, joined} from '../../transcoding/rpc/frames.ts'
import {type GetRequest, readGetRequest} from '../../transcoding/rpc/get-request.ts'
import {type RpcForm, responseForm} from '../../transcoding/rpc/media.ts'
import {type RpcMessages, rpcMessages} from '../../transcoding/rpc/messages.ts'
import {comesFirst, endWith} from '../answers.ts'
import {errorOf} from './failure.ts'
import {headersOf, trailersInHead, trailersOf} from './metadata.ts'
import type {RpcRequest, RpcServed} from './request.ts'
import {gotMessage, onlyMessage, type RpcReading, streamedMessages, wholeMessage} from './requests.ts'

/** The headers of each protocol for the compression that is used (`sent`) and those that are accepted (`taken`). */
const compressionHeaders = {
  unary: {sent: 'content-encoding', taken: 'accept-encoding'},
  connect: {sent: 'connect-content-encoding', taken: 'connect-accept-encoding'},
  grpcweb: {sent: 'grpc-encoding', taken: 'grpc-accept-encoding'},
} as const

type CompressionHeaders = (typeof compressionHeaders)[keyof typeof compressionHeaders]

/** How one response is written. */
interface RpcWriting {
  readonly request: RpcRequest
  readonly call: Call
  readonly form: RpcForm
  readonly messages: RpcMessages
  readonly compression: CompressionHeaders
  /** Whether the caller accepts gzip. */
  readonly gzip: boolean
}

/**
 * Handles one request of Connect or gRPC-Web.
 * @throws {Fault} for an invalid request, or a failed call
 */
export async function answerRpc(request: RpcRequest, scope: Scope): Promise<Reply> {
  const {served} = request
  const method = request.method!
  const got = request.form ? undefined : readGetRequest(scope.rawQuery)
  const form = request.form ?? got!.form
  if (form.protocol === 'connect' && !got) checkVersion(scope)
  const compression = compressionHeaders[form.enveloped ? form.protocol : 'unary']
  const messages = rpcMessages(method, form.codec, {...optionsOf(served), check: served.checkOf(method)})
  const metadata = rpcMetadata(scope.headers, served.metadata)
  const isCompressed = isGzip(got ? got.compression : scope.headers[compression.sent]?.toString(), compression)
  const routing = served.routingOf(method)
  const sending = routing && ((message: Uint8Array) => addRouting(metadata, routing(message)))
  const reading = {form, messages, isCompressed, maxBytes: served.settings.maxBodyBytes, sending}
  scope.span?.routed(scope.path)
  const call = served.callOf(scope, method, {requests: await requestsOf(scope, method, reading, got), metadata})
  if (form.codec === 'proto') call.deserialize = asItCame
  call.isDeadlineOurs = callerTimeout(scope.headers) === Number.POSITIVE_INFINITY
  request.call = call
  const gzip = takesGzip(scope.headers[compression.taken]?.toString())
  const writing = {request, call, messages, compression, gzip, form: responseForm(form, request.accept)}
  if (!form.enveloped) return await wholeAnswer(scope, writing)
  const answersOnce = method.methodKind === 'unary' || method.methodKind === 'client_streaming'
  return answersOnce ? await onlyFrame(scope, writing) : await frames(scope, writing)
}

/** Passes the backend's answers on undecoded. */
const asItCame = (bytes: Uint8Array) => bytes as unknown as Message

function optionsOf({registry, settings}: RpcServed) {
  return {registry, ignoreUnknown: ignoresUnknownFields(settings), maxValues: settings.maxBodyValues}
}

function checkVersion({headers}: Scope): void {
  const version = headers['connect-protocol-version']
  if (version === undefined || version === '1') return
  throw Fault.invalid(
    'connect-protocol-version',
    `Header connect-protocol-version is "${shortened(String(version))}": expected "1"`,
  )
}

/** @throws {Fault} UNIMPLEMENTED for an unknown compression */
function isGzip(name: string | undefined, {taken}: CompressionHeaders): boolean {
  if (name === undefined || name === '' || name.toLowerCase() === 'identity') return false
  if (name.toLowerCase() === 'gzip') return true
  throw new Fault('UNIMPLEMENTED', `Cannot read the compression "${shortened(name)}": expected gzip or identity`, {
    http: 400,
    headers: {[taken]: 'gzip, identity'},
  })
}

/** Whether a list of compressions accepts gzip (RFC 9110, 12.5.3). */
function takesGzip(accepted = ''): boolean {
  return accepted.split(',').some((range) => {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    return name === 'gzip' && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))
  })
}

async function requestsOf(scope: Scope, {methodKind}: DescMethod, reading: RpcReading, got: GetRequest | undefined) {
  if (got) return await gotMessage(scope, reading, got.message)
  if (!reading.form.enveloped) return await wholeMessage(scope, reading)
  if (methodKind === 'unary' || methodKind === 'server_streaming') return await onlyMessage(scope, reading)
  return () => streamedMessages(scope, reading)
}

/** A response without envelopes: that of a unary Connect call. */
async function wholeAnswer(scope: Scope, {call, messages, form, gzip}: RpcWriting): Promise<Reply> {
  const body = messages.write(await scope.track(onlyAnswer(call)))
  const deflated = gzip ? await gzipped(body) : undefined
  return {
    headers: {
      ...headersOf(call),
      ...trailersInHead(call),
      'content-type': form.type,
      vary: 'accept-encoding',
      ...(deflated && {'content-encoding': 'gzip'}),
    },
    body: deflated ?? body,
  }
}

/** One answer and the end of the stream, in envelopes. */
async function onlyFrame(scope: Scope, writing: RpcWriting): Promise<Reply> {
  const {call, form} = writing
  const answer = await answerFrame(writing, await scope.track(onlyAnswer(call)))
  const body = joined([answer, endFrame(form.protocol, undefined, trailersOf(call))])
  return {headers: headOf(writing), body: encoded(form, body)}
}

/** Answers as they arrive, and the end of the stream, in envelopes. The response head is sent when the backend's metadata is there. */
async function frames(scope: Scope, writing: RpcWriting): Promise<Reply> {
  const {call, form, request} = writing
  const answers = invoke(call)[Symbol.asyncIterator]() as AsyncIterator<Message>
  endWith(scope, answers)
  const first = answers.next()
  first.catch(() => {})
  const isAnswered = await comesFirst(call, first)
  async function* body() {
    for (let next = await first; !next.done; next = await answers.next()) {
      yield encoded(form, await answerFrame(writing, next.value))
    }
    yield encoded(form, endFrame(form.protocol, undefined, trailersOf(call)))
  }
  return {
    headers: headOf(writing),
    body: body(),
    headFirst: !isAnswered,
    failureChunk: (fault) => encoded(form, endFrame(form.protocol, errorOf(request, fault), trailersOf(call))),
    endsCleanly: () => true,
  }
}

async function answerFrame({messages, gzip}: RpcWriting, answer: Message): Promise<Uint8Array> {
  const bytes = messages.write(answer)
  const deflated = gzip ? await gzipped(bytes) : undefined
  return deflated ? framed(compressedFlag, deflated) : framed(0, bytes)
}

function headOf({call, form, compression, gzip}: RpcWriting): Record<string, string | string[]> {
  return {...headersOf(call), 'content-type': form.type, ...(gzip && {[compression.sent]: 'gzip'})}
}

function encoded({text}: RpcForm, bytes: Uint8Array): Uint8Array {
  return text ? base64Body(bytes) : bytes
}

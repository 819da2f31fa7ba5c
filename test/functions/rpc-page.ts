import {createFileRegistry, fromBinary, fromJson, type JsonValue, toBinary, toJson} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {ConnectError, createClient} from '@connectrpc/connect'
import {createConnectTransport, createGrpcWebTransport} from '@connectrpc/connect-web'
import {GrpcWebClientBase, type Metadata, MethodDescriptor, MethodType, type RpcError} from 'grpc-web'

// The page's script: rpc-browser.test.ts bundles it, and has it make one call at a time.

/** A call that the page makes. */
export interface PageCall {
  /** `connect`, `connect-json`, `grpcweb` (connect-web's), `grpc-web` and `grpc-web-text` (Google's). */
  readonly client: string
  /** `served.Streams/Down` */
  readonly method: string
  readonly request: JsonValue
  readonly headers?: Record<string, string>
  readonly timeoutMs?: number
  /** The page leaves after this number of messages. */
  readonly leaveAfter?: number
}

/** The result that the page gets. */
export interface PageAnswer {
  readonly messages: unknown[]
  readonly error?: {readonly code: number; readonly message: string; readonly metadata: Record<string, string>}
  readonly header?: Record<string, string>
}

declare const page: {readonly descriptors: string; readonly url: string}

const bytes = Uint8Array.from(atob(page.descriptors), (char) => char.charCodeAt(0))
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes))

function methodOf(name: string) {
  const [service = '', method = ''] = name.split('/')
  const desc = registry.getService(service)!
  return {service: desc, method: desc.methods.find((one) => one.name === method)!}
}

async function byConnectWeb({
  client,
  method: name,
  request,
  headers = {},
  timeoutMs,
  leaveAfter,
}: PageCall): Promise<PageAnswer> {
  const {service, method} = methodOf(name)
  const options = {baseUrl: page.url, useBinaryFormat: client !== 'connect-json', useHttpGet: true}
  const transport = client === 'grpcweb' ? createGrpcWebTransport(options) : createConnectTransport(options)
  // biome-ignore lint/suspicious/noExplicitAny: a client by its descriptor alone
  const stub = createClient(service, transport) as any
  const caller = new AbortController()
  const messages: unknown[] = []
  let header: Record<string, string> = {}
  const called = {
    headers,
    timeoutMs,
    signal: caller.signal,
    onHeader: (given: Headers) => {
      header = Object.fromEntries(given)
    },
  }
  try {
    const message = fromJson(method.input, request, {registry})
    const answer = stub[method.localName](message, called)
    const isStream = method.methodKind === 'server_streaming'
    for await (const one of isStream ? answer : [await answer]) {
      messages.push(toJson(method.output, one, {registry}))
      if (messages.length === leaveAfter) caller.abort()
    }
    return {messages, header}
  } catch (cause) {
    const error = ConnectError.from(cause)
    return {
      messages,
      header,
      error: {code: error.code, message: error.rawMessage, metadata: Object.fromEntries(error.metadata)},
    }
  }
}

/** Leaves the stream that Google's client reads. */
let leave = () => {}

function byGrpcWeb({
  client,
  method: name,
  request,
  headers: given = {},
  timeoutMs,
  leaveAfter,
}: PageCall): Promise<PageAnswer> {
  const headers: Metadata = {...given, ...(timeoutMs && {deadline: String(Date.now() + timeoutMs)})}
  const {method} = methodOf(name)
  const isStream = method.methodKind === 'server_streaming'
  const descriptor = new MethodDescriptor<Uint8Array, unknown>(
    `/${name}`,
    isStream ? MethodType.SERVER_STREAMING : MethodType.UNARY,
    Uint8Array,
    Uint8Array,
    (message: Uint8Array) => message,
    (message: Uint8Array) => toJson(method.output, fromBinary(method.output, message), {registry}),
  )
  const base = new GrpcWebClientBase({format: client === 'grpc-web-text' ? 'text' : 'binary'})
  const body = toBinary(method.input, fromJson(method.input, request, {registry}))
  const messages: unknown[] = []
  const failed = ({code, message, metadata}: RpcError) => ({
    messages,
    error: {code, message, metadata: metadata as Record<string, string>},
  })
  return new Promise((resolve) => {
    if (!isStream) {
      base.rpcCall(`${page.url}/${name}`, body, headers, descriptor, (error, message) => {
        if (error) resolve(failed(error))
        else resolve({messages: [message]})
      })
      return
    }
    const stream = base.serverStreaming(`${page.url}/${name}`, body, headers, descriptor)
    leave = () => {
      stream.cancel()
      resolve({messages})
    }
    stream.on('data', (message) => {
      messages.push(message)
      if (messages.length === leaveAfter) leave()
    })
    stream.on('error', (error) => resolve(failed(error)))
    stream.on('end', () => resolve({messages}))
  })
}

Object.assign(globalThis, {
  leave: () => leave(),
  call: (given: PageCall) => (given.client.startsWith('grpc-web') ? byGrpcWeb(given) : byConnectWeb(given)),
})

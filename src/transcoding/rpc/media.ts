import type {DescMethod} from '@bufbuild/protobuf'

/** An RPC protocol over HTTP/1.1, beside REST. */
export type RpcProtocol = 'connect' | 'grpcweb'

/** How messages are written. */
export type RpcCodec = 'proto' | 'json'

/** The format of the request and response bodies, by the request's content type. */
export interface RpcForm {
  readonly protocol: RpcProtocol
  readonly codec: RpcCodec
  /** Whether each message has an envelope. If not, the body is the one message itself (Connect, unary). */
  readonly enveloped: boolean
  /** Whether the body is base64 (gRPC-Web, `-text`). */
  readonly text: boolean
  /** The content type, without parameters. */
  readonly type: string
}

const forms: readonly RpcForm[] = [
  {protocol: 'connect', codec: 'json', enveloped: false, text: false, type: 'application/json'},
  {protocol: 'connect', codec: 'proto', enveloped: false, text: false, type: 'application/proto'},
  {protocol: 'connect', codec: 'json', enveloped: true, text: false, type: 'application/connect+json'},
  {protocol: 'connect', codec: 'proto', enveloped: true, text: false, type: 'application/connect+proto'},
  ...['', '-text'].flatMap((text) =>
    ['', '+proto', '+json'].map((codec): RpcForm => {
      const type = `application/grpc-web${text}${codec}`
      return {
        protocol: 'grpcweb',
        codec: codec === '+json' ? 'json' : 'proto',
        enveloped: true,
        text: text !== '',
        type,
      }
    }),
  ),
]

const byType: ReadonlyMap<string, RpcForm> = new Map(forms.map((form) => [form.type, form]))

/** The format for this Content-Type; undefined for types of no RPC protocol, and for charsets other than UTF-8. */
export function rpcForm(contentType = ''): RpcForm | undefined {
  const [type = '', ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase())
  const isRead = (parameter: string) => !parameter.startsWith('charset=') || /^charset="?utf-?8"?$/.test(parameter)
  return parameters.every(isRead) ? byType.get(type) : undefined
}

/** Whether a content type is one of RPC rather than REST, supported or not: for example `application/connect+thrift`. */
export function isOfRpc(contentType = ''): boolean {
  return /^\s*application\/(?:proto\b|connect\+|grpc\b)/i.test(contentType)
}

/** Whether requests of `method` may have this format: in Connect, unary calls and only those have no envelopes. */
export function fits({protocol, enveloped}: RpcForm, {methodKind}: DescMethod): boolean {
  return protocol === 'grpcweb' || enveloped === (methodKind !== 'unary')
}

/** The content types that `method` accepts in `protocols`, for the header Accept-Post. */
export function acceptPost(method: DescMethod, protocols: ReadonlySet<string>): string {
  return forms
    .filter((form) => protocols.has(form.protocol) && fits(form, method))
    .map(({type}) => type)
    .join(', ')
}

/** The format of the response: that of the request, except that in gRPC-Web the header Accept decides about base64. */
export function responseForm(form: RpcForm, accept = ''): RpcForm {
  if (form.protocol !== 'grpcweb') return form
  const types = accept.split(',').map((range) => range.split(';', 1)[0]!.trim().toLowerCase())
  const accepted = types.map((type) => byType.get(type)).filter((found) => found?.protocol === 'grpcweb')
  const text = accepted.length > 0 ? accepted.every((found) => found!.text) : form.text
  if (text === form.text) return form
  const [base = '', codec] = form.type.split('+')
  const type = text ? `${base}-text` : base.replace(/-text$/, '')
  return byType.get(codec ? `${type}+${codec}` : type)!
}

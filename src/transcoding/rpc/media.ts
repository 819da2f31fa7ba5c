import type {DescMethod} from '@bufbuild/protobuf'

/** A protocol of RPC over HTTP/1.1, beside REST. */
export type RpcProtocol = 'connect' | 'grpcweb'

/** How messages are written. */
export type RpcCodec = 'proto' | 'json'

/** What the content type of an RPC request says of its body and of the response's. */
export interface RpcForm {
  readonly protocol: RpcProtocol
  readonly codec: RpcCodec
  /** Whether each message stands in an envelope; else the body is the one message itself (Connect, unary). */
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

/** The form of a body with this Content-Type; undefined for all that no RPC protocol knows, and for charsets but UTF-8. */
export function rpcForm(contentType = ''): RpcForm | undefined {
  const [type = '', ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase())
  const isRead = (parameter: string) => !parameter.startsWith('charset=') || /^charset="?utf-?8"?$/.test(parameter)
  return parameters.every(isRead) ? byType.get(type) : undefined
}

/** Whether a content type is one of RPC rather than of REST, served here or not: `application/connect+thrift`. */
export function isOfRpc(contentType = ''): boolean {
  return /^\s*application\/(?:proto\b|connect\+|grpc\b)/i.test(contentType)
}

/** Whether requests of `method` may have this form: Connect writes unary calls without envelopes, and no others. */
export function fits({protocol, enveloped}: RpcForm, {methodKind}: DescMethod): boolean {
  return protocol === 'grpcweb' || enveloped === (methodKind !== 'unary')
}

/** The content types that `method` takes in `protocols`, as Accept-Post lists them. */
export function acceptPost(method: DescMethod, protocols: ReadonlySet<string>): string {
  return forms
    .filter((form) => protocols.has(form.protocol) && fits(form, method))
    .map(({type}) => type)
    .join(', ')
}

/** The form of the response: that of the request, but for base64, of which gRPC-Web's Accept has the last word. */
export function responseForm(form: RpcForm, accept = ''): RpcForm {
  if (form.protocol !== 'grpcweb') return form
  const types = accept.split(',').map((range) => range.split(';', 1)[0]!.trim().toLowerCase())
  const wanted = types.map((type) => byType.get(type)).filter((found) => found?.protocol === 'grpcweb')
  const text = wanted.length > 0 ? wanted.every((found) => found!.text) : form.text
  if (text === form.text) return form
  const [base = '', codec] = form.type.split('+')
  const type = text ? `${base}-text` : base.replace(/-text$/, '')
  return byType.get(codec ? `${type}+${codec}` : type)!
}

import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {readBase64} from '../fields/scalars.ts'
import {type RpcForm, rpcForm} from './media.ts'

/** A unary call by GET: https://connectrpc.com/docs/protocol/#unary-get-request */
export interface GetRequest {
  readonly form: RpcForm
  /** The name of the message's compression. */
  readonly compression: string | undefined
  readonly message: Uint8Array
}

/** Whether a raw query is that of a Connect request. */
export function isConnectQuery(query: string): boolean {
  return /(?:^|&)connect=v1(?:&|$)/.test(query)
}

/** @throws {Fault} 400 naming the parameter, 415 for an unknown encoding */
export function readGetRequest(query: string): GetRequest {
  const parameters = new Map(query.split('&').map((part) => splitAt(part, '=')))
  const encoding = parameters.get('encoding') ?? ''
  const form = rpcForm(`application/${encoding}`)
  if (!form || form.enveloped) {
    throw Fault.invalid('encoding', `Cannot read a message in "${shortened(encoding)}": expected json or proto`, {
      http: 415,
    })
  }
  const text = parameters.get('message')
  if (text === undefined) throw Fault.invalid('message', 'Cannot read the request: the parameter message is missing')
  const bytes = percentDecoded(text)
  const message = parameters.get('base64') === '1' ? readBase64(latin1.decode(bytes)) : bytes
  if (!message) throw Fault.invalid('message', 'Cannot read the parameter message: it is not base64')
  return {form, compression: parameters.get('compression'), message}
}

function splitAt(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

const latin1 = new TextDecoder('latin1')

/** Decodes a parameter to bytes, which need not be UTF-8. @throws {Fault} 400 */
function percentDecoded(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  let length = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (char === '%') {
      const hex = text.slice(at + 1, at + 3)
      if (!/^[\da-f]{2}$/i.test(hex))
        throw Fault.invalid('message', 'Cannot read the parameter message: a % is not followed by two hex digits')
      bytes[length++] = Number.parseInt(hex, 16)
      at += 2
    } else bytes[length++] = char === '+' ? 0x20 : char.charCodeAt(0)
  }
  return bytes.subarray(0, length)
}

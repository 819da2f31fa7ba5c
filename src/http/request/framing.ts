import type {IncomingMessage} from 'node:http'
import {Fault} from '../../core/fault.ts'

/** A reg-name or an IP literal of RFC 3986 3.2.2, and a port; empty if the target has no authority. */
const hostForm = /^(?:\[[\da-f:.v]+\]|[\w\-.~!$&'()*+,;=%]*)(?::\d*)?$/i

/**
 * Refuses a request whose head Node's parser accepts although HTTP/1.1 forbids it.
 * @throws {Fault} 400 for Host (RFC 9112 3.2), 400 or 501 for Transfer-Encoding (6.1), 417 for Expect (RFC 9110 10.1.1),
 *   505 for another version
 */
export function checkHead(request: IncomingMessage): void {
  const {httpVersion, headers, rawHeaders} = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw new Fault('UNIMPLEMENTED', `HTTP/${httpVersion} is not served here: expected HTTP/1.1`, {http: 505})
  }
  checkHost(httpVersion, rawHeaders, headers.host)
  checkCoding(httpVersion, headers['transfer-encoding'])
  if (headers.expect !== undefined && httpVersion === '1.1' && !waitsToContinue(request)) {
    throw Fault.invalid('expect', 'Header Expect has an unknown expectation: expected 100-continue', {http: 417})
  }
}

/** Whether the caller waits for 100 Continue before it sends the body. */
export function waitsToContinue({httpVersion, headers: {expect}}: IncomingMessage): boolean {
  return httpVersion === '1.1' && expect?.trim().toLowerCase() === '100-continue'
}

function checkHost(httpVersion: string, rawHeaders: readonly string[], host: string | undefined): void {
  if (host === undefined && httpVersion === '1.0') return
  let times = 0
  // Names and values in turn. `headers` has only the first one of each name.
  for (let index = 0; index < rawHeaders.length; index += 2) if (rawHeaders[index]!.toLowerCase() === 'host') times++
  if (times !== 1) throw Fault.invalid('host', `The request has ${times || 'no'} Host headers: expected one`)
  if (!hostForm.test(host!)) throw Fault.invalid('host', 'Header Host is malformed: expected a host, or host:port')
}

function checkCoding(httpVersion: string, coding: string | undefined): void {
  if (coding === undefined) return
  if (httpVersion === '1.0') throw Fault.invalid('transfer-encoding', 'HTTP/1.0 has no Transfer-Encoding')
  const codings = coding.split(',').map((name) => name.trim().toLowerCase())
  if (codings.at(-1) !== 'chunked') {
    throw Fault.invalid(
      'transfer-encoding',
      'Header Transfer-Encoding does not end in chunked: nothing says where the body ends',
    )
  }
  if (codings.length === 1) return
  throw new Fault('UNIMPLEMENTED', 'Header Transfer-Encoding has an unknown coding: expected chunked alone', {
    reason: 'UNKNOWN_TRANSFER_CODING',
  })
}

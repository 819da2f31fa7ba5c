import type {IncomingMessage} from 'node:http'
import type {Config} from '../../core/config.ts'
import type {RequestFacts} from '../../core/telemetry/spans.ts'
import {loggedPath} from './logged-url.ts'
import {remoteIp} from './remote-ip.ts'

/** The facts about a request for its span: as in its log record, so without values of its query. */
export function factsOf(
  request: IncomingMessage,
  {path, config}: {readonly path: string; readonly config: Pick<Config, 'trustedHops'>},
): RequestFacts {
  const {method = 'GET', headers, httpVersion} = request
  const length = headers['content-length']
  return {
    method,
    path: loggedPath(path),
    scheme: /^https\b/i.test(String(headers['x-forwarded-proto'] ?? '')) ? 'https' : 'http',
    host: headers.host,
    userAgent: headers['user-agent'],
    protocolVersion: httpVersion,
    clientAddress: remoteIp(request, config.trustedHops),
    bodySize: length === undefined ? undefined : Number(length),
    headers,
  }
}

import type {Socket} from 'node:net'
import type {ChannelCredentials, StatusObject} from '@grpc/grpc-js'

// What rests on the insides of grpc-js, for whoever upgrades it. These fail when they change:
// - ChannelCredentials._createSecureConnector() makes the object whose connect() gets each TCP socket of a channel:
//   test/clients/connecting.test.ts
// - the status details that grpc-js makes up: test/clients/status.test.ts; those of connections, in causes.ts:
//   test/clients/causes.test.ts

/**
 * `credentials`, changed so that `onSocket` gets each TCP socket of their channel as soon as it is connected, before TLS and
 * HTTP/2 begin on it. A channel that is closed while a server says nothing leaves that socket open: it must be destroyed.
 */
export function watchSockets(credentials: ChannelCredentials, onSocket: (socket: Socket) => void): ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials)
  credentials._createSecureConnector = (...args) => {
    const connector = create(...args)
    const connect = connector.connect.bind(connector)
    connector.connect = (socket) => {
      onSocket(socket)
      return connect(socket)
    }
    return connector
  }
  return credentials
}

/** How a call ended that no status of the service ended. */
export type Ending = 'late' | 'reset' | 'broken' | 'too large' | 'unreadable'

/** Status details that grpc-js 1.14 makes up when a started call ends: only the text tells them from the service's own. */
const endings: readonly (readonly [details: RegExp, ending: Ending])[] = [
  [/^Deadline exceeded after /, 'late'],
  [/^(Call cancelled$|Received RST_STREAM with code )/, 'reset'],
  [/^(Connection dropped|Stream refused by server|(read|write) E[A-Z]+)$/, 'broken'],
  [/^(Bandwidth exhausted or memory limit exceeded|Protocol not secure enough)$/, 'broken'],
  [/^(Write error: |Write failed with error |Failed to start HTTP\/2 stream with error )/, 'broken'],
  [/^Failed to decompress (gzip|deflate)-encoded message$/, 'unreadable'],
]

/** With the limit that a message was larger than. A server that is grpc-js says it in the same words, with its own limit. */
const tooLarge = /^Received message (?:larger than max \(\d+ vs (\d+)\)|that decompresses to a size larger than (\d+))$/

/** How the call ended when the service did not end it; `mostReceived` is the channel's limit of a message, in bytes. */
export function endingOf({details}: StatusObject, mostReceived: number): Ending | undefined {
  // A message in an encoding that grpc-js does not know ends the call without code and details.
  if (details === undefined) return 'unreadable'
  const [, limit, inflated = limit] = tooLarge.exec(details) ?? []
  if (Number(inflated) === mostReceived) return 'too large'
  return endings.find(([pattern]) => pattern.test(details))?.[1]
}

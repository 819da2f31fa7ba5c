import type {Socket} from 'node:net'
import type {ChannelCredentials} from '@grpc/grpc-js'

// What rests on the insides of grpc-js, for whoever upgrades it; test/clients/connecting.test.ts fails when they change.
// - ChannelCredentials._createSecureConnector(): makes the object whose connect() gets each TCP socket of a channel.

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

import type {Socket} from 'node:net'
import {Channel, type ChannelOptions, connectivityState, credentials, Metadata, type StatusObject} from '@grpc/grpc-js'
import type {Backend} from '../../core/config.ts'
import {Connection, type ConnectionListener} from './connection.ts'
import {keepMessagesAsSent, leaveRetriesToUs, watchSockets} from './grpc-internals.ts'

/** Limit for one message of a backend, in bytes. */
export const mostReceived = 32 * 1024 * 1024

const options: ChannelOptions = {
  // Otherwise another channel could get a connection that is dead.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
  // Cloud Run's limit for a whole body. grpc-js's default of 4 MiB would turn larger responses into failures.
  'grpc.max_receive_message_length': mostReceived,
  // In case leaveRetriesToUs() has no effect: the write callback must still mean that the bytes have left.
  'grpc.enable_retries': 0,
  'grpc.per_rpc_retry_buffer_size': 64 * 1024,
}

/** A channel to `backend` that is not connected yet; `onSocket` gets each of its sockets. */
export function openChannel({address, host, tls}: Backend, onSocket: (socket: Socket) => void): Channel {
  const watched = watchSockets(tls ? credentials.createSsl() : credentials.createInsecure(), onSocket)
  const channel = new Channel(`dns:${address}`, watched, {
    ...options,
    'grpc.default_authority': host,
    // Plaintext goes directly to the backend, not through a proxy.
    ...(!tls && {'grpc.enable_http_proxy': 0}),
  })
  leaveRetriesToUs(channel)
  keepMessagesAsSent()
  return channel
}

/** The outcome of an attempt to connect: exactly one of these is called, or none if the attempt is given up first. */
export interface OpeningListener extends ConnectionListener {
  onOpen(opening: Opening, connection: Connection): void
  /** `end` is the status that a waiting call gets. */
  onFailure(opening: Opening, end: StatusObject): void
}

/**
 * One attempt to connect to a backend. It has its own channel, so that grpc-js's back-off, whose timers stop in a frozen
 * instance, plays no part. It has no timeout: the waiting calls have theirs.
 */
export class Opening {
  /** When the attempt began, in ms since the epoch. */
  readonly since = Date.now()
  readonly #channel: Channel
  readonly #sockets = new Set<Socket>()
  readonly #listener: OpeningListener
  #over = false

  constructor(backend: Backend, listener: OpeningListener) {
    this.#listener = listener
    this.#channel = openChannel(backend, (socket) => this.#keep(socket))
    this.#channel.getConnectivityState(true)
    this.#watch()
  }

  /** Ends the attempt and destroys its sockets: closing a channel leaves them open while the server is silent. */
  giveUp(): void {
    if (this.#over) return
    this.#over = true
    this.#channel.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #keep(socket: Socket): void {
    // The address answered after all.
    if (this.#over && !this.#isConnected) return void socket.destroy()
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  get #isConnected(): boolean {
    return this.#channel.getConnectivityState(false) === connectivityState.READY
  }

  #watch(): void {
    const state = this.#channel.getConnectivityState(false)
    this.#channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => {
      if (this.#over) return
      const now = this.#channel.getConnectivityState(false)
      // The session exists one turn of the event loop after the channel reports that it is connected.
      if (now === connectivityState.READY) process.nextTick(() => this.#open())
      else if (now === connectivityState.TRANSIENT_FAILURE) void this.#fail()
      else this.#watch()
    })
  }

  #open(): void {
    if (this.#over) return
    // The connection broke at the same moment.
    if (!this.#isConnected) return void this.#fail()
    this.#over = true
    const took = Date.now() - this.since
    const connection = new Connection(this.#channel, {sockets: this.#sockets, took, listener: this.#listener})
    this.#listener.onOpen(this, connection)
  }

  async #fail(): Promise<void> {
    const end = await endOf(this.#channel)
    if (this.#over) return
    this.giveUp()
    this.#listener.onFailure(this, end)
  }
}

/** Why `channel` could not connect: the status of a call on it, which is never sent. */
function endOf(channel: Channel): Promise<StatusObject> {
  return new Promise((resolve) => {
    const call = channel.createCall('/', Number.POSITIVE_INFINITY, null, null, null)
    const ignore = () => {}
    call.start(new Metadata(), {onReceiveMetadata: ignore, onReceiveMessage: ignore, onReceiveStatus: resolve})
    // It connects again and gives no reason.
    if (channel.getConnectivityState(false) !== connectivityState.TRANSIENT_FAILURE) {
      call.cancelWithStatus(14, 'Failed to connect')
    }
  })
}

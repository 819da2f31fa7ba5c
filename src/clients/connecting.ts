import type {Socket} from 'node:net'
import {Channel, type ChannelOptions, connectivityState, credentials, Metadata, type StatusObject} from '@grpc/grpc-js'
import type {Backend} from '../core/config.ts'
import {Connection, type ConnectionListener} from './connection.ts'
import {leaveRetriesToUs, watchSockets} from './grpc-internals.ts'

/** The most bytes of one message of a backend. */
export const mostReceived = 32 * 1024 * 1024

const options: ChannelOptions = {
  // A connection that died is not picked again for another channel.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
  // What Cloud Run takes and sends in one piece; grpc-js's own limit of 4 MiB would turn larger answers into failures.
  'grpc.max_receive_message_length': mostReceived,
  // In case that leaveRetriesToUs() cannot: the write callback then still says that the bytes have left.
  'grpc.enable_retries': 0,
  'grpc.per_rpc_retry_buffer_size': 64 * 1024,
}

/** A channel to `backend` that is not connected yet; `onSocket` gets each of its sockets. */
export function openChannel({address, host, tls}: Backend, onSocket: (socket: Socket) => void): Channel {
  const watched = watchSockets(tls ? credentials.createSsl() : credentials.createInsecure(), onSocket)
  const channel = new Channel(`dns:${address}`, watched, {
    ...options,
    'grpc.default_authority': host,
    // What is in the clear goes to the backend and to nobody on the way.
    ...(!tls && {'grpc.enable_http_proxy': 0}),
  })
  leaveRetriesToUs(channel)
  return channel
}

/** What comes of an attempt to connect: one of the two is called, unless the attempt is given up before. */
export interface OpeningListener extends ConnectionListener {
  onOpen(opening: Opening, connection: Connection): void
  /** With the status that a call gets of it. */
  onFailure(opening: Opening, end: StatusObject): void
}

/**
 * One attempt to connect to a backend, on a channel of its own: grpc-js's own back-off, whose timers stand still in a frozen
 * instance, has no say. There is no limit to how long it may take: whoever waits for it has one.
 */
export class Opening {
  /** When it began, in ms since the epoch. */
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

  /** Ends the attempt, with its sockets: a channel that is closed while a server says nothing leaves them open. */
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
      // The session is there one turn after the channel says that it is connected.
      if (now === connectivityState.READY) process.nextTick(() => this.#open())
      else if (now === connectivityState.TRANSIENT_FAILURE) void this.#fail()
      else this.#watch()
    })
  }

  #open(): void {
    if (this.#over) return
    // It broke off in the same moment.
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

/** Why `channel` could not connect, as a call on it hears it: no call leaves. */
function endOf(channel: Channel): Promise<StatusObject> {
  return new Promise((resolve) => {
    const call = channel.createCall('/', Number.POSITIVE_INFINITY, null, null, null)
    const ignore = () => {}
    call.start(new Metadata(), {onReceiveMetadata: ignore, onReceiveMessage: ignore, onReceiveStatus: resolve})
    // It connects again, and has nothing to say.
    if (channel.getConnectivityState(false) !== connectivityState.TRANSIENT_FAILURE) {
      call.cancelWithStatus(14, 'Failed to connect')
    }
  })
}

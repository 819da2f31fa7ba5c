import type {Socket} from 'node:net'
import {Channel, type ChannelOptions, credentials} from '@grpc/grpc-js'
import type {Backend} from '../core/config.ts'
import {watchSockets} from './grpc-internals.ts'

/** What channels are opened with. */
export interface ChannelsOptions {
  /** Limit for one attempt to connect to a backend, in ms. */
  readonly connectTimeout: number
}

/** The channels of one runtime: one a backend, opened when first asked for, then shared by all of its requests. */
export class Channels {
  /** Limit for one attempt to connect to a backend, in ms. */
  readonly connectTimeout: number
  readonly #channels = new Map<string, Channel>()

  constructor({connectTimeout}: ChannelsOptions) {
    this.connectTimeout = connectTimeout
  }

  /** The channel to `backend`. */
  to(backend: Backend): Channel {
    let channel = this.#channels.get(backend.url)
    if (!channel) {
      channel = open(backend)
      this.#channels.set(backend.url, channel)
    }
    return channel
  }

  /** Closes a channel that does not get connected, with its sockets; the next call opens a new one. */
  giveUp(backend: Backend, channel: Channel): void {
    if (this.#channels.get(backend.url) === channel) this.#channels.delete(backend.url)
    channel.close()
    for (const socket of sockets.get(channel) ?? []) socket.destroy()
    sockets.delete(channel)
  }

  /** Closes every channel; the next call opens a new one. */
  close(): void {
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
  }
}

/** The sockets of each open channel; one that is not here has been given up. */
const sockets = new WeakMap<Channel, Set<Socket>>()

/** The most bytes of one message of a backend. */
export const mostReceived = 32 * 1024 * 1024

const options: ChannelOptions = {
  // A connection that died is not picked again for another channel.
  'grpc.use_local_subchannel_pool': 1,
  // After a long freeze the first request must not wait out a back-off of two minutes.
  'grpc.max_reconnect_backoff_ms': 5000,
  'grpc.enable_channelz': 0,
  // What Cloud Run takes and sends in one piece; grpc-js's own limit of 4 MiB would turn larger answers into failures.
  'grpc.max_receive_message_length': mostReceived,
  // Small messages are kept for a transparent retry of a call that no server has seen. Large ones are not: their write
  // callback then says that the bytes have left, which is back-pressure, and lets the sender use its buffer again.
  'grpc.per_rpc_retry_buffer_size': 64 * 1024,
}

function open({address, host, tls}: Backend): Channel {
  const watched = watchSockets(tls ? credentials.createSsl() : credentials.createInsecure(), keep)
  const channel = new Channel(`dns:${address}`, watched, {
    ...options,
    'grpc.default_authority': host,
    // What is in the clear goes to the backend and to nobody on the way.
    ...(!tls && {'grpc.enable_http_proxy': 0}),
  })
  sockets.set(channel, new Set())

  function keep(socket: Socket): void {
    const open = sockets.get(channel)
    // The address answered after all, when its channel had been given up.
    if (!open) return void socket.destroy()
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  }

  return channel
}

import {type Channel, connectivityState} from '@grpc/grpc-js'
import {Fault} from '../core/fault.ts'
import {within} from '../core/waiting.ts'
import type {Call} from './calls.ts'
import {causes} from './causes.ts'

/** The channel to the backend of a call if it is connected: the usual case, which costs next to nothing. */
export function connectedChannel({runtime, backend}: Call): Channel | undefined {
  const channel = runtime.channels.to(backend)
  return channel.getConnectivityState(false) === connectivityState.READY ? channel : undefined
}

/**
 * Waits until the channel to the backend of `call` is connected, or has failed to: a call on it then fails at once.
 *
 * grpc-js sets no limit: it waits two minutes for an address that drops packets, and for ever for a server that accepts a
 * connection and says nothing. Here each call has a limit of its own, so that no timer runs between requests. A channel that
 * has had its time is replaced by a new one, which looks the address up again: by the last call that waits for it, or by
 * the next one that comes.
 * @throws {Fault} UNAVAILABLE at the connect deadline, DEADLINE_EXCEEDED at the call's own, or the signal's reason
 */
export async function connect(call: Call): Promise<Channel> {
  const start = Date.now()
  const late = Promise.withResolvers<never>()
  const limit = Math.min(call.runtime.channels.connectTimeout, call.deadline - start)
  const timer = setTimeout(() => late.reject(tooLate(call, start)), Math.max(0, limit))
  try {
    return await connected(call, start, late.promise)
  } catch (error) {
    // The answer that the request gets at its own deadline has no word of this.
    if (error === call.life.signal.reason && Fault.from(error).code === 'DEADLINE_EXCEEDED') {
      call.life.log.warn({backend: call.backend.url}, unconnected(call, start))
    }
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** A channel's way to a connection. */
interface Attempt {
  /** When it began, in ms since the epoch. */
  readonly since: number
  /** How many calls wait for it. */
  waiting: number
  /** Resolves when the channel's state is another one. */
  change?: Promise<void> | undefined
}

const attempts = new WeakMap<Channel, Attempt>()

async function connected(
  {runtime: {channels}, backend, life}: Call,
  start: number,
  late: Promise<never>,
): Promise<Channel> {
  for (let now = start; ; now = Date.now()) {
    const channel = channels.to(backend)
    channel.getConnectivityState(true)
    if (!isConnecting(channel)) return channel
    const attempt = attempts.get(channel) ?? {since: now, waiting: 0}
    attempts.set(channel, attempt)
    if (now - attempt.since >= channels.connectTimeout) {
      channels.giveUp(backend, channel)
      continue
    }
    attempt.waiting++
    try {
      await within(life.signal, Promise.race([late, change(channel, attempt)]))
    } catch (error) {
      const isLast = attempt.waiting === 1
      if (isLast && attempt.since <= start && Fault.from(error).code === 'UNAVAILABLE')
        channels.giveUp(backend, channel)
      throw error
    } finally {
      attempt.waiting--
    }
  }
}

/** Resolves when the state of `channel` is another one; all that wait share one watcher. */
function change(channel: Channel, attempt: Attempt): Promise<void> {
  attempt.change ??= new Promise((resolve) => {
    channel.watchConnectivityState(channel.getConnectivityState(false), Number.POSITIVE_INFINITY, () => {
      attempt.change = undefined
      if (!isConnecting(channel)) attempts.delete(channel)
      resolve()
    })
  })
  return attempt.change
}

function isConnecting(channel: Channel): boolean {
  const state = channel.getConnectivityState(false)
  return state === connectivityState.IDLE || state === connectivityState.CONNECTING
}

function tooLate(call: Call, start: number): Fault {
  const {method, runtime} = call
  const {connectTimeout} = runtime.channels
  const name = `${method.parent.typeName}.${method.name}`
  if (call.deadline - start < connectTimeout) {
    return new Fault('DEADLINE_EXCEEDED', `${name} did not answer in time`, {hint: unconnected(call, start)})
  }
  const limit = `${connectTimeout / 1000} s`
  return new Fault('UNAVAILABLE', `The backend of ${name} cannot be reached: no connection within ${limit}`, {
    reason: 'BACKEND_CONNECT_TIMEOUT',
    hint: `no connection to ${call.backend.url} within the connect deadline of ${limit}, BACKEND_CONNECT_TIMEOUT_SECONDS: ${causes.SILENT.change()}`,
  })
}

function unconnected({backend}: Call, start: number): string {
  return `Still not connected to ${backend.url} after ${(Date.now() - start) / 1000} s`
}

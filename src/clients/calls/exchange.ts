import {type StatusObject, status} from '@grpc/grpc-js'
import {Fault} from '../../core/fault.ts'
import {abortReasonOf, offAbort, onAbort, over} from '../../core/life.ts'
import {turn, within} from '../../core/waiting.ts'
import {answersMany, type Call, type OnlyRequest, pathOf, type Sendable} from '../call.ts'
import type {Connection} from '../connections/connection.ts'
import {
  asBuffer,
  closedBefore,
  endOfBroken,
  forgetMessage,
  hasStayed,
  keepMessagesBeforeFailure,
  probe,
  progressOf,
  sendInPlace,
  streamOf,
  takesFramed,
} from '../connections/grpc-internals.ts'
import {Batch} from './batch.ts'
import type {Outgoing} from './outgoing.ts'

const noCall = () => {}
const ended = Promise.resolve(undefined)

/**
 * One attempt of a call on one connection.
 *
 * It uses the channel's call object, not a Client and its streams: one listener and one write callback serve all four kinds,
 * and it waits for no event that a stream does not emit once the server has ended the call.
 */
export class Exchange {
  /** The status of the attempt, once it has ended. */
  end: StatusObject | undefined
  /** The error with which we cancelled the attempt. */
  cause: unknown
  /** Whether certainly no handler of the backend has seen the call. */
  isUnseen = false
  readonly #call: Call
  readonly #connection: Connection
  readonly #outgoing: Outgoing
  readonly #wire
  #tellEnd = noCall
  readonly #pumped: Promise<void>
  readonly #onAbort: () => void
  #stopWaiting: AbortController | undefined
  #timer: NodeJS.Timeout | undefined
  #isAnswered = false
  /** The timeout for the next message. */
  #silence: NodeJS.Timeout | undefined
  #giveReader: (bytes: Buffer | undefined) => void = noCall
  #wakeWriter = noCall

  constructor(call: Call, connection: Connection, outgoing: Outgoing) {
    this.#call = call
    this.#connection = connection
    this.#outgoing = outgoing
    const told = call.isDeadlineOurs ? Number.POSITIVE_INFINITY : call.deadline
    const wire = connection.channel.createCall(pathOf(call.method), told, null, null, null)
    this.#wire = wire
    this.#onAbort = () => this.#cancel(abortReasonOf(call.life))
    onAbort(call.life, this.#onAbort)
    wire.start(call.metadata, {
      onReceiveMetadata: (header) => {
        connection.hear()
        call.header = header
        if (answersMany(call.method)) keepMessagesBeforeFailure(this.#wire)
        call.onHeader?.()
      },
      onReceiveMessage: (bytes) => {
        connection.hear()
        if (!this.#isAnswered && answersMany(call.method)) this.#forgetRequest()
        this.#wakeReader(bytes)
      },
      onReceiveStatus: (end) => this.#finish(end),
    })
    this.#pumped = this.#pump()
    if (call.isDeadlineOurs) this.#keepDeadline()
  }

  /** Whether the connection has ended, or takes no more calls. */
  get hasLostConnection(): boolean {
    return this.#connection.hasEnded
  }

  /** The bytes of the next response message; undefined at the end. */
  next(): Promise<Buffer | undefined> {
    if (this.end) return ended
    return new Promise((resolve) => {
      this.#giveReader = resolve
      const {messageTimeout} = this.#call
      if (messageTimeout !== undefined) {
        this.#silence = setTimeout(() => this.#cancel(noMessage(this.#call, messageTimeout)), messageTimeout)
      }
      this.#wire.startRead()
    })
  }

  /** Cancels the attempt unless it has ended, and waits for its end. */
  async close(): Promise<void> {
    offAbort(this.#call.life, this.#onAbort)
    clearTimeout(this.#timer)
    if (!this.end) this.#cancel(over)
    if (!this.end) await new Promise<void>((resolve) => (this.#tellEnd = resolve))
    await this.#pumped
  }

  #keepDeadline(): void {
    const {deadline, method} = this.#call
    const late = new Fault('DEADLINE_EXCEEDED', `${method.parent.typeName}.${method.name} did not answer in time`)
    this.#timer = setTimeout(() => this.#cancel(late), deadline - Date.now())
  }

  #cancel(why: unknown): void {
    this.cause ??= why
    this.#wire.cancelWithStatus(status.CANCELLED, 'Cancelled by the caller')
  }

  #finish(given: StatusObject): void {
    const call = this.#call
    const connection = this.#connection
    const end = connection.hasEnded ? endOfBroken(given, connection.goawayCode) : given
    this.end = end
    call.trailer = end.metadata
    if (end.code === status.OK) this.#connection.hear()
    else this.isUnseen = this.#wasUnseen(end)
    this.#stopWaiting?.abort(over)
    // grpc-js starts a call even if it ended while its filters ran: cancel it again after them.
    if (end.code !== status.OK && !call.header) {
      setImmediate(() => this.#wire.cancelWithStatus(end.code, end.details))
    }
    this.#wakeReader(undefined)
    this.#wakeWriter()
    this.#tellEnd()
  }

  /** Whether no handler can have seen the call: it was not sent, was refused, or is above the last stream of a GOAWAY. */
  #wasUnseen(end: StatusObject): boolean {
    if (this.cause !== undefined || this.#call.header) return false
    const progress = progressOf(end)
    if (progress === 'NOT_STARTED' || progress === 'REFUSED' || hasStayed(this.#wire)) return true
    if (Object.keys(end.metadata.getMap()).length > 0) return false
    if (end.details === closedBefore) return true
    const {lastStream} = this.#connection
    const stream = lastStream === undefined ? undefined : streamOf(this.#wire)
    return stream !== undefined && stream > lastStream!
  }

  #writeBytes(bytes: Uint8Array): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#wakeWriter = resolve
      const context = {callback: () => resolve()}
      if (!sendInPlace(this.#wire, context, bytes)) this.#wire.sendMessageWithContext(context, asBuffer(bytes))
    })
  }

  #bytesOf(message: Sendable): Uint8Array {
    return message instanceof Uint8Array ? message : this.#call.serialize(message)
  }

  #write(message: Sendable): Promise<void> {
    return this.#writeBytes(this.#bytesOf(message))
  }

  /** Writes in batches, one after the other, and gives other requests a turn between them. */
  async #writeAll(messages: Iterable<Sendable>): Promise<void> {
    let batch = new Batch()
    for (const message of messages) {
      if (this.end) return
      batch.add(this.#bytesOf(message))
      if (takesFramed() && !batch.isDue) continue
      await (takesFramed() === undefined ? this.#writeProbe(batch) : this.#writeBytes(batch.toMessage()))
      if (batch.isDue) await turn()
      batch = new Batch()
    }
    if (!this.end && !batch.isEmpty) await this.#writeBytes(batch.toMessage())
  }

  async #writeProbe(batch: Batch): Promise<void> {
    const {message, done} = probe(batch.toMessage())
    await this.#writeBytes(message)
    if (!this.end) done()
  }

  async #pump(): Promise<void> {
    try {
      const requests = this.#outgoing.begin()
      if (requests) await this.#pumpList(requests)
      else await this.#pumpStream()
    } catch (error) {
      if (!this.end) this.#cancel(error)
    }
  }

  /** END_STREAM goes with the message, not in a frame of its own. */
  #writeLast(message: Sendable): Promise<void> {
    const written = this.#write(message)
    this.#wire.halfClose()
    return written
  }

  async #pumpList(messages: OnlyRequest | Iterable<Sendable>): Promise<void> {
    if ('isKept' in messages) {
      await this.#writeLast(messages.begin())
      return messages.sent()
    }
    const [only] = Array.isArray(messages) && messages.length === 1 ? (messages as Sendable[]) : []
    if (only) return await this.#writeLast(only)
    for (const message of messages) {
      if (this.end) return
      await this.#write(message)
    }
    if (!this.end) this.#wire.halfClose()
  }

  /** Stops waiting for messages as soon as the call has ended, even if their source does not react to the signal. */
  async #pumpStream(): Promise<void> {
    const outgoing = this.#outgoing
    const stopWaiting = new AbortController()
    const {signal} = stopWaiting
    this.#stopWaiting = stopWaiting
    try {
      if (outgoing.first !== undefined) await this.#writeGiven(outgoing.first)
      while (!this.end) {
        const given = await within(signal, outgoing.next())
        if (this.end) return
        outgoing.take(given)
        if (given.done) return this.#wire.halfClose()
        await this.#writeGiven(given.value)
      }
    } catch (error) {
      if (!this.end) throw error
    }
  }

  #writeGiven(value: Sendable | Iterable<Sendable>): Promise<void> {
    return isMany(value) ? this.#writeAll(value) : this.#write(value)
  }

  /** After its first answer a call is never repeated, and a stream may last for long. */
  #forgetRequest(): void {
    this.#isAnswered = true
    this.#outgoing.forget()
    forgetMessage(this.#wire)
  }

  /** grpc-js gives one message for each startRead(), so somebody waits for it. */
  #wakeReader(bytes: Buffer | undefined): void {
    // The timeout has an effect only while a message is awaited: the caller's own time does not count.
    clearTimeout(this.#silence)
    this.#giveReader(bytes)
  }
}

function isMany(value: Sendable | Iterable<Sendable>): value is Iterable<Sendable> {
  return Symbol.iterator in value && !(value instanceof Uint8Array)
}

function noMessage({method}: Call, timeout: number): Fault {
  return new Fault('DEADLINE_EXCEEDED', `${pathOf(method).slice(1)} sent no message for ${timeout / 1000} s`, {
    reason: 'MESSAGE_TIMEOUT',
  })
}

import type {IncomingMessage, ServerResponse} from 'node:http'
import type {Socket} from 'node:net'
import {Fault} from '../../core/fault.ts'
import {atMost, within} from '../../core/waiting.ts'
import {isStopping} from '../in-flight.ts'
import {discard, isTooLongToDiscard} from '../request/body.ts'
import {waitsToContinue} from '../request/framing.ts'

/** Grace period for the caller to read a response that is written after the deadline, usually an error, in ms. */
const minReadTime = 500

/** The only writer of a response. It buffers nothing beyond the deadline: bytes that the caller has not read by then are dropped. */
export class Responder {
  /** Number of written bytes of the body. */
  bytes = 0
  /** Whether the connection ends with this response. */
  isLast = false
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #continued = false
  #isSwitched = false

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request
    this.#response = response
  }

  /** Whether the head has been written. */
  get begun(): boolean {
    return this.#isSwitched || this.#response.headersSent
  }

  /** Whether the connection is closed. */
  get gone(): boolean {
    return this.#response.destroyed
  }

  /** Whether the whole response has been handed to the kernel, or the connection has become a WebSocket's. */
  get done(): boolean {
    return this.#isSwitched || this.#response.writableFinished
  }

  /** Hands the connection to a WebSocket, which answers with 101. */
  switchProtocols(): void {
    this.#isSwitched = true
    this.#response.statusCode = 101
    const {socket} = this.#response
    if (socket) this.#response.detachSocket(socket)
  }

  /** Sends 100 Continue to a caller that waits for it. */
  goOn(): void {
    if (this.#continued || this.begun || !waitsToContinue(this.#request)) return
    this.#continued = true
    this.#response.writeContinue()
  }

  /** Ends the connection with this response, if more of the request's body is announced than is read and discarded. */
  endIfTooLongToDiscard(): void {
    this.isLast ||= isTooLongToDiscard(this.#request)
  }

  /** Whether the caller can read a body without a Content-Length. */
  get takesChunks(): boolean {
    return this.#request.httpVersion === '1.1'
  }

  head(status: number, headers: Record<string, string | string[]>): void {
    this.isLast ||= isStopping()
    // A 426 names a protocol to upgrade to, which the connection option belongs to (RFC 9110 7.8), and its connection ends.
    const connection = headers.upgrade ? {connection: 'close, upgrade'} : this.isLast && {connection: 'close'}
    this.#response.writeHead(status, {...headers, ...connection})
  }

  /** Sends `trailers` after the body, if it has chunked encoding. */
  trailers(trailers: Readonly<Record<string, string | string[]>>): void {
    this.#response.addTrailers(
      Object.entries(trailers).flatMap(([name, value]) => [value].flat().map((one) => [name, one] as const)),
    )
  }

  /** Sends the head now rather than with the first bytes of the body. */
  flush(): void {
    this.#response.flushHeaders()
  }

  /**
   * Resolves when more may be written.
   * @throws {Fault} the reason of the life's signal; at the deadline, a Fault that says that the caller did not read
   */
  async write(bytes: string | Uint8Array, life: {readonly signal: AbortSignal}): Promise<void> {
    this.bytes += Buffer.byteLength(bytes)
    const {promise, resolve} = Promise.withResolvers<void>()
    if (this.#response.write(bytes, () => resolve())) return
    await within(life.signal, promise).catch((fault: Fault) => {
      throw fault.code === 'DEADLINE_EXCEEDED' ? unread() : fault
    })
  }

  /**
   * Ends the response with `body`, which may be text only if it is ASCII. Resolves when everything has been sent or the caller has gone.
   * @throws {Fault} when it has not been sent by `deadline`, in ms since the epoch. The connection has then been reset
   */
  async end(deadline: number, body: string | Uint8Array = ''): Promise<void> {
    if (this.gone) return
    this.bytes += Buffer.byteLength(body)
    // Before Node discards the body itself, because it would read all of it.
    discard(this.#request, this.#response)
    const left = this.#left((left) => this.#end(body, left))
    // The kernel usually accepts it at once, unless the response waits for an earlier one.
    if (this.#response.writableLength > 0) await this.#turn()
    if (this.#response.writableLength === 0) return await left
    if (await atMost(Math.max(deadline - Date.now(), minReadTime), left)) return
    this.cut()
    throw unread()
  }

  #end(body: string | Uint8Array, left: () => void): void {
    // Text is written together with the head, in the head's encoding, so it must be ASCII.
    if (typeof body === 'string') this.#response.end(body, 'latin1', left)
    else this.#response.end(body, left)
  }

  /** Writes `text` as the last chunk of a response that will be reset, unless the response has been ended already. */
  async writeLast(text: string | Uint8Array): Promise<void> {
    if (this.gone || this.#response.writableEnded) return
    await atMost(
      minReadTime,
      this.#left((left) => this.#response.write(text, left)),
    )
  }

  /** Resets the connection after all earlier responses, so that this one never looks complete. */
  cut(): void {
    const {socket} = this.#response
    // A pipelined response gets its socket only at its turn, even if it has been destroyed, so it cannot be reset earlier.
    if (!socket) this.#response.once('socket', () => setImmediate(() => this.cut()))
    // In HTTP/1.0 the end of the connection ends the body, so only a reset shows that the body is incomplete. And the kernel keeps bytes that
    // the caller does not read, unless the connection is reset.
    else if (canReset(socket) && (this.#request.httpVersion === '1.0' || socket.writableLength > 0)) {
      socket.resetAndDestroy()
    } else socket.destroy()
  }

  /** Resolves when it is this response's turn on the connection, or the response is over. */
  async #turn(): Promise<void> {
    if (this.#response.socket || this.gone) return
    const {promise, resolve} = Promise.withResolvers<void>()
    this.#response.once('socket', () => setImmediate(resolve)).once('close', resolve)
    await promise
  }

  /** Resolves when the bytes that `send` writes have been sent, or the connection is gone. */
  async #left(send: (left: () => void) => void): Promise<void> {
    const {promise, resolve} = Promise.withResolvers<void>()
    this.#response.once('close', resolve)
    send(resolve)
    await promise
    this.#response.off('close', resolve)
  }
}

/** Whether a socket can be reset. Node cannot reset one that is ending, and would never close it after trying (EINVAL). */
function canReset({writableEnded, writableFinished}: Socket): boolean {
  return !writableEnded || writableFinished
}

function unread(): Fault {
  return new Fault('DEADLINE_EXCEEDED', 'The caller had not read the answer by its deadline', {http: 499})
}

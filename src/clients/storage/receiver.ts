import type {IncomingMessage} from 'node:http'
import type {OnReadOpts, Socket} from 'node:net'

/** Size of the buffer for heads and small bodies, in bytes. */
const headBuffer = 16 * 1024
/** Size of each buffer for a large body, in bytes. */
const bodyBuffer = 256 * 1024
/** Length of the smallest body that is read directly, in bytes: for a shorter one a new connection costs more. */
const leastDirect = 1024 * 1024

const receivers = new WeakMap<Socket, Receiver>()

/**
 * The receiving side of a connection. Node's HTTP client gets the received bytes, until a large body begins. The rest of that body
 * is read directly, into a few buffers that are used again: the HTTP client copies each piece of a body into new memory, which costs
 * two thirds of a read, and whose garbage is most of the memory of an upload.
 */
export class Receiver {
  #socket: Socket | undefined
  /** The buffer for the bytes that are received next. */
  #buffer: Buffer = Buffer.allocUnsafeSlow(headBuffer)
  #hasReceived = false
  #isDirect = false
  /** Pieces that the reader has not yet taken, each in a buffer of its own. */
  readonly #arrived: {readonly buffer: Buffer; readonly length: number}[] = []
  /** The buffer of the piece that the reader uses. */
  #lent: Buffer | undefined
  readonly #free: Buffer[] = []
  #failure: Error | undefined
  #wake = () => {}

  /** The option of a new socket. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#buffer,
    callback: (length) => this.#receive(length),
  }

  /** Receives the bytes of `socket`, which was created with `onread`. */
  attach(socket: Socket): void {
    this.#socket = socket
    receivers.set(socket, this)
  }

  /** Whether to read on. TLS may call it again in any case, so that no buffer is filled again while its bytes are needed. */
  #receive(length: number): boolean {
    this.#hasReceived = true
    // A copy, because the stream may keep it for later.
    if (!this.#isDirect) return this.#socket?.push(Buffer.from(this.#buffer.subarray(0, length))) ?? false
    this.#arrived.push({buffer: this.#buffer, length})
    this.#buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(bodyBuffer)
    this.#wake()
    return false
  }

  /** Directs what is received from now on to next(). False if the bytes do not come through here. */
  divert(response: IncomingMessage): boolean {
    if (!this.#hasReceived) return false
    this.#isDirect = true
    this.#buffer = Buffer.allocUnsafeSlow(bodyBuffer)
    const fail = (error?: Error) => {
      this.#failure ??= error ?? new Error('The connection was closed')
      this.#wake()
    }
    response.once('error', fail)
    response.once('close', fail)
    return true
  }

  /** The next piece. It may be used until the next call. @throws the error that ended the response */
  async next(): Promise<Buffer> {
    if (this.#lent) this.#free.push(this.#lent)
    this.#lent = undefined
    while (this.#arrived.length === 0) {
      if (this.#failure) throw this.#failure
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#socket?.resume()
      })
    }
    const {buffer, length} = this.#arrived.shift()!
    this.#lent = buffer
    return buffer.subarray(0, length)
  }
}

const direct = new WeakMap<IncomingMessage, {readonly receiver: Receiver; readonly length: number}>()

/** Has the body of `response` read directly if it is large. Call it in the event `response`, before any part of the body is read. */
export function divertBody(response: IncomingMessage): void {
  const length = Number(response.headers['content-length'])
  const receiver = receivers.get(response.socket)
  if (!(length >= leastDirect) || !receiver?.divert(response)) return
  direct.set(response, {receiver, length})
}

/** The chunks of a body. Each may be used only until the next one is requested. */
export function bodyOf(response: IncomingMessage): AsyncIterable<Buffer> {
  const found = direct.get(response)
  return found ? directly(response, found.receiver, found.length) : response
}

async function* directly(response: IncomingMessage, receiver: Receiver, length: number): AsyncGenerator<Buffer> {
  try {
    // What came together with the head.
    const first = response.read() as Buffer | null
    if (first) yield first
    for (let left = length - (first?.length ?? 0); left > 0; ) {
      const piece = await receiver.next()
      yield piece.subarray(0, left)
      left -= piece.length
    }
  } finally {
    // The HTTP client has not seen the end of the body, so the connection cannot be used again.
    response.destroy()
  }
}

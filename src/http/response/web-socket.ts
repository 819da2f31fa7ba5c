import {createRequire} from 'node:module'
import type {RawData, WebSocket, WebSocketServer} from 'ws'
import {codes, Fault} from '../../core/fault.ts'
import {over} from '../../core/life.ts'
import {atMost, within} from '../../core/waiting.ts'
import type {Sending} from '../sending.ts'
import {failureInStream} from './failure.ts'
import type {Frame, WebSocketReply, WebSocketStream} from './reply.ts'
import type {Upgrade} from './upgrade.ts'

const require = createRequire(import.meta.url)

/** Grace period for the caller to answer a close, in ms. */
const linger = 2000

/** The first close code for applications (RFC 6455 7.4.2). Close codes of errors are this number plus the gRPC code. */
const ownCloseCodes = 4000

/** Limits for buffered bytes and frames, beyond which no more are read. */
const maxQueuedBytes = 64 * 1024
const maxQueuedFrames = 16

/**
 * Opens the WebSocket that `upgrade` asks for, and runs `reply` on it. All work of the request has ended before the
 * connection does. Its close code is 1000, or 4000 plus the gRPC code of the error, which is also sent in a last frame.
 * @throws {Fault} when it failed
 */
export async function runWebSocket(reply: WebSocketReply, upgrade: Upgrade, life: Sending): Promise<void> {
  const stream = new Stream(opened(reply, upgrade, life), life, reply.ping)
  let fault: Fault | undefined
  try {
    await life.race(Promise.try(() => reply.run(stream)))
  } catch (error) {
    fault = Fault.from(error)
  }
  await life.close(fault ?? over)
  await life.finish({status: 101, bodySize: life.responder.bytes, fault})
  await stream.close(fault)
  if (fault) throw fault
}

/** Answers with 101. */
function opened({protocol, maxFrameBytes}: WebSocketReply, {request, socket, head}: Upgrade, life: Sending): WebSocket {
  // Loaded for the first WebSocket, because most instances have none.
  const {WebSocketServer: Server} = require('ws') as typeof import('ws')
  const server: WebSocketServer = new Server({
    noServer: true,
    clientTracking: false,
    // No compression, because decompressed data may be much longer than the received bytes.
    perMessageDeflate: false,
    maxPayload: maxFrameBytes,
    handleProtocols: () => protocol ?? false,
  })
  server.on('headers', (lines) => {
    const headers = {...life.responseHeaders, 'x-request-id': life.id}
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  })
  let made: WebSocket | undefined
  life.responder.switchProtocols()
  server.handleUpgrade(request, socket, head, (ws) => {
    made = ws
  })
  if (!made) throw new Fault('CANCELLED', 'The connection ended before the WebSocket was open')
  return made
}

class Stream implements WebSocketStream {
  readonly #ws: WebSocket
  readonly #life: Sending
  readonly #closed = Promise.withResolvers<void>()
  readonly #pings: NodeJS.Timeout
  readonly #queue: Frame[] = []
  #queued = 0
  #taken = 0
  #isComplete = false
  #isClosing = false
  #isPinged = false
  #wake = () => {}

  constructor(ws: WebSocket, life: Sending, ping: number) {
    this.#ws = ws
    this.#life = life
    this.#pings = setInterval(() => this.#ping(), ping)
    ws.on('pong', () => {
      this.#isPinged = false
    })
    ws.on('message', (data, isBinary) => this.#receive(data, isBinary))
    ws.on('error', (error) => life.fail(faultOf(error)))
    ws.on('close', () => {
      life.fail(hungUp())
      this.#closed.resolve()
    })
  }

  get frames(): AsyncIterable<Frame> {
    return {[Symbol.asyncIterator]: () => ({next: () => this.#next()})}
  }

  async send(frame: Frame): Promise<void> {
    this.#life.responder.bytes += Buffer.byteLength(frame)
    const {promise, resolve, reject} = Promise.withResolvers<void>()
    this.#ws.send(frame, {binary: typeof frame !== 'string'}, (error) => (error ? reject(hungUp()) : resolve()))
    await within(this.#life.signal, promise)
  }

  /** Sends the error, if there is one, and waits until the connection has ended. */
  async close(fault: Fault | undefined): Promise<void> {
    const ws = this.#ws
    clearInterval(this.#pings)
    this.#isClosing = true
    this.#queue.length = 0
    if (ws.isPaused) ws.resume()
    if (fault && ws.readyState === ws.OPEN) ws.send(failureInStream(fault, this.#life.errorShape))
    ws.close(fault ? ownCloseCodes + codes[fault.code] : 1000, fault?.code)
    if (!(await atMost(linger, this.#closed.promise))) ws.terminate()
    await this.#closed.promise
  }

  /** Sends one ping at a time: a caller whose frames are not read cannot answer, and some close a connection with many unanswered pings. */
  #ping(): void {
    if (this.#isPinged) return
    this.#isPinged = true
    this.#ws.ping()
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#isClosing || this.#life.signal.aborted) return
    const bytes = data as Buffer
    if (this.#isComplete)
      this.#life.fail(Fault.invalid('body', 'A frame came after the empty one that ends the stream'))
    else if (!isBinary && bytes.length === 0) this.#isComplete = true
    else this.#add(isBinary ? bytes : bytes.toString())
    this.#wake()
  }

  #add(frame: Frame): void {
    this.#queue.push(frame)
    this.#queued += Buffer.byteLength(frame)
    this.#hold()
    if (this.#queued > maxQueuedBytes || this.#queue.length > maxQueuedFrames) this.#ws.pause()
  }

  /** The frame before has been passed on. */
  async #next(): Promise<IteratorResult<Frame>> {
    this.#taken = 0
    while (this.#queue.length === 0 && !this.#isComplete) {
      this.#hold()
      if (this.#ws.isPaused) this.#ws.resume()
      await within(this.#life.signal, new Promise<void>((resolve) => (this.#wake = resolve)))
    }
    const value = this.#queue.shift()
    if (value === undefined) {
      this.#hold()
      // Further frames are refused, but a hang-up is still noticed.
      if (this.#ws.isPaused) this.#ws.resume()
      return {done: true, value}
    }
    this.#taken = Buffer.byteLength(value)
    this.#queued -= this.#taken
    return {done: false, value}
  }

  #hold(): void {
    try {
      this.#life.hold(this.#queued + this.#taken)
    } catch (error) {
      this.#life.fail(Fault.from(error))
    }
  }
}

/** The error for a malformed or too long frame. `ws` has closed the connection with the protocol's code for it. */
function faultOf(error: Error & {readonly code?: string}): Fault {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') {
    return Fault.invalid('body', 'A frame is too long', {http: 413, hint: 'GATEWAY_MAX_BODY_BYTES is the limit'})
  }
  if (error.code?.startsWith('WS_ERR_')) return Fault.invalid('body', 'A frame is malformed', {cause: error})
  return hungUp()
}

function hungUp(): Fault {
  return new Fault('CANCELLED', 'The caller hung up')
}

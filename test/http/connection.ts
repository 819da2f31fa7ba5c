import {once} from 'node:events'
import {connect, type Socket} from 'node:net'

/** A response as received. */
export interface Response {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  /** Whether the response is complete, rather than cut by the end of the connection. */
  readonly whole: boolean
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly json: any
}

/** A connection to an HTTP server, byte by byte, for what no well-behaved client lets a test send or see. */
export class Connection implements AsyncDisposable {
  readonly socket: Socket
  /** Resolves with the error that reset the connection, if any. */
  readonly closed: Promise<NodeJS.ErrnoException | undefined>
  #bytes = ''
  #ended = false
  #wake = () => {}

  constructor(socket: Socket) {
    this.socket = socket.setEncoding('latin1')
    let error: NodeJS.ErrnoException | undefined
    socket.on('error', (cause) => {
      error = cause
    })
    socket.on('data', (bytes: string) => {
      this.#bytes += bytes
      this.#wake()
    })
    this.closed = new Promise((resolve) => socket.once('close', () => resolve(error)))
    this.closed.then(() => {
      this.#ended = true
      this.#wake()
    })
  }

  /** The received bytes that were not read as part of a response. */
  get rest(): string {
    return this.#bytes
  }

  /** Sends `text`, with line ends as in HTTP. */
  send(text: string): void {
    this.socket.write(text.replace(/\r?\n/g, '\r\n'), 'latin1')
  }

  /** Sends GET `path` with `headers`, one per line. */
  get(path: string, ...headers: string[]): void {
    this.send([`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\n'))
  }

  /** Waits until the received bytes match `pattern`. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#bytes)) {
      if (this.#ended) throw new Error(`The connection ended before ${pattern}: ${this.#bytes}`)
      await this.#more()
    }
  }

  /** The next response on the connection. A response to HEAD has no body, whatever its head says. */
  async response(method = 'GET'): Promise<Response> {
    await this.until(/\r\n\r\n/)
    const [head = ''] = this.#bytes.split('\r\n\r\n', 1)
    this.#bytes = this.#bytes.slice(head.length + 4)
    const [first = '', ...lines] = head.split('\r\n')
    const headers = new Map<string, string>()
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^:]+): ?(.*)$/.exec(line) ?? []
      if (headers.has(name.toLowerCase())) throw new Error(`Two headers ${name}: ${head}`)
      headers.set(name.toLowerCase(), value)
    }
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1])
    const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304
    const {text, whole} = bodiless ? {text: '', whole: true} : await this.#body(headers)
    return {status, headers, text, whole, json: parsed(text)}
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy()
    await this.closed
  }

  async #body(headers: ReadonlyMap<string, string>): Promise<{text: string; whole: boolean}> {
    if (headers.get('transfer-encoding') === 'chunked') return await this.#chunks()
    if (headers.has('content-length')) {
      const length = Number(headers.get('content-length'))
      const whole = await this.#has(length)
      return {text: this.#take(length), whole}
    }
    await this.closed
    return {text: this.#take(this.#bytes.length), whole: true}
  }

  async #chunks(): Promise<{text: string; whole: boolean}> {
    let text = ''
    for (;;) {
      while (!this.#bytes.includes('\r\n')) {
        if (this.#ended) return {text, whole: false}
        await this.#more()
      }
      const size = /^([\da-f]+)\r\n/i.exec(this.#bytes)
      if (!size) throw new Error(`No chunk: ${this.#bytes}`)
      const length = Number.parseInt(size[1] ?? '', 16)
      if (!(await this.#has(size[0].length + length + 2))) return {text, whole: false}
      this.#take(size[0].length)
      text += this.#take(length)
      if (this.#take(2) !== '\r\n') throw new Error('A chunk is longer than it says')
      if (length === 0) return {text, whole: true}
    }
  }

  async #has(length: number): Promise<boolean> {
    while (this.#bytes.length < length && !this.#ended) await this.#more()
    return this.#bytes.length >= length
  }

  #take(length: number): string {
    const taken = this.#bytes.slice(0, length)
    this.#bytes = this.#bytes.slice(length)
    return taken
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

/** Opens a connection to the server at `url`. */
export async function connectTo(url: string): Promise<Connection> {
  const {hostname, port} = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  return new Connection(socket)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

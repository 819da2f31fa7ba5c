import {once} from 'node:events'
import {Agent, type IncomingHttpHeaders, type IncomingMessage, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'

/** A request of a well-behaved caller. */
export interface Ask {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent in chunks, each as soon as the previous one has been sent. */
  readonly body?: readonly (string | Buffer)[]
  /** Pause between two chunks, in ms. */
  readonly pause?: number
}

/** The response. */
export interface Answer {
  /** 0 if there was none. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Whether the response is complete. */
  readonly whole: boolean
  /** Why it is not. */
  readonly error?: string
}

const agent = new Agent({keepAlive: true, maxFreeSockets: 8})

/** Sends `ask` to `url`, and waits at most `patience` ms for the end of the response. Never throws. */
export async function exchange(url: string, ask: Ask, id: string, patience: number): Promise<Answer> {
  const {method, path, headers = {}, body = []} = ask
  const sent = request(new URL(path, url), {method, agent, headers: {...headers, 'x-request-id': id}})
  sent.setMaxListeners(0)
  const timer = setTimeout(() => sent.destroy(new Error(`no answer in ${patience} ms`)), patience)
  const failed = new Promise<string>((resolve) => sent.once('error', (error) => resolve(error.message)))
  const closed = new Promise<[]>((resolve) => sent.once('close', () => resolve([])))
  try {
    const answered = once(sent, 'response').catch(() => [])
    const writing = write(sent, body, ask.pause ?? 0)
    const [response] = (await Promise.race([answered, closed])) as [IncomingMessage | undefined] | []
    if (!response) return {status: 0, headers: {}, text: '', whole: false, error: await failed}
    const answer = await read(response)
    await Promise.race([writing, closed])
    return answer
  } finally {
    clearTimeout(timer)
  }
}

async function write(sent: ReturnType<typeof request>, body: readonly (string | Buffer)[], ms: number): Promise<void> {
  for (const piece of body) {
    if (sent.destroyed) return
    if (!sent.write(piece)) await Promise.race([once(sent, 'drain'), once(sent, 'close')]).catch(() => {})
    if (ms > 0) await pause(ms)
  }
  sent.end()
}

async function read(response: IncomingMessage): Promise<Answer> {
  const {statusCode: status = 0, headers} = response
  const pieces: Buffer[] = []
  let error: string | undefined
  try {
    for await (const piece of response) pieces.push(piece)
  } catch (cause) {
    error = (cause as Error).message
  }
  const text = Buffer.concat(pieces).toString()
  return {status, headers, text, whole: response.complete && error === undefined, ...(error && {error})}
}

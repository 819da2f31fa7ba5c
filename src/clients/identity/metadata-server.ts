import {get, type IncomingMessage} from 'node:http'
import {answerBody} from '../../core/answer-body.ts'
import {shortened} from '../../core/shortened.ts'
import {pause} from '../../core/waiting.ts'

/** Timeout for one answer, in ms. */
const attempt = 3000
/** Limit for an answer, in bytes. Tokens have a few thousand. */
const maxAnswer = 64 * 1024
/** Limit for the attempts of callers that have no token. */
const mostAttempts = 3
/** The first pause between two attempts, in ms. The next one is twice as long. */
const firstPause = 50
const flavor = 'metadata-flavor'

/**
 * Asks the metadata server at `host` about the service account of this instance. Retries transient errors.
 * @param path `token`, or `identity?…`
 * @param options.once no second attempt, because the caller can do without an answer
 * @throws {Error} without an answer in time, or when another server than a metadata server answers
 */
export async function askMetadata(
  host: string,
  path: string,
  {signal, once = false}: {signal?: AbortSignal; once?: boolean} = {},
): Promise<string> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await ask(host, path, signal)
    } catch (error) {
      if (once || attempts === mostAttempts || !mayPass(error)) throw error
      await pause(firstPause * 2 ** (attempts - 1) * (0.5 + Math.random()), signal)
    }
  }
}

async function ask(host: string, path: string, signal?: AbortSignal): Promise<string> {
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/${path}`
  const late = AbortSignal.timeout(attempt)
  const end = signal ? AbortSignal.any([late, signal]) : late
  const {promise, resolve, reject} = Promise.withResolvers<IncomingMessage>()
  const sent = get(url, {
    headers: {[flavor]: 'Google'},
    // A new connection, because a pooled one may have died while the instance was frozen. Without an agent, no proxy is used,
    // also if HTTPS_PROXY is set: the server is local.
    agent: false,
  })
  sent.on('response', resolve).on('error', reject)
  // Not as the request's own signal, which would also act when the signal aborts after a success.
  const stop = () => sent.destroy(end.reason)
  if (end.aborted) stop()
  end.addEventListener('abort', stop)
  try {
    const response = await promise
    if (response.headers[flavor] !== 'Google') throw new Error(`${host} is not a metadata server`)
    const {statusCode = 0} = response
    const body = await answerBody(response, {maxBytes: maxAnswer, server: 'The metadata server'})
    if (statusCode === 200) return body
    throw new FailedAnswer(statusCode, body)
  } catch (error) {
    // An unread answer would keep its connection open.
    sent.destroy()
    throw error
  } finally {
    end.removeEventListener('abort', stop)
  }
}

/** An answer with another status than 200. */
class FailedAnswer extends Error {
  readonly status: number

  constructor(status: number, body: string) {
    super(`The metadata server answered ${status}: ${shortened(body)}`)
    this.status = status
  }
}

/** Whether the error is transient: the server is overloaded, starting or migrated with its instance, or the connection broke. */
function mayPass(error: unknown): boolean {
  if (error instanceof FailedAnswer) return error.status >= 500 || error.status === 429
  if (error instanceof DOMException && error.name === 'TimeoutError') return true
  return error instanceof Error && /^E[A-Z]+$/.test(String((error as NodeJS.ErrnoException).code))
}

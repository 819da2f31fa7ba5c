import {get, type IncomingMessage} from 'node:http'
import {text} from 'node:stream/consumers'

/** Timeout for one answer, in ms. */
const attempt = 10_000
const flavor = 'metadata-flavor'

/**
 * Asks the metadata server at `host` about the service account of this instance.
 * @param path `token`, or `identity?…`
 * @throws {Error} without an answer in time, or when the answer is not a metadata server's
 */
export async function askMetadata(host: string, path: string, signal?: AbortSignal): Promise<string> {
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/${path}`
  const late = AbortSignal.timeout(attempt)
  const end = signal ? AbortSignal.any([late, signal]) : late
  const {promise, resolve, reject} = Promise.withResolvers<IncomingMessage>()
  const sent = get(url, {
    headers: {[flavor]: 'Google'},
    // A connection of its own, which no freeze has cut; and an agent of its own, as the server is next door, whatever
    // HTTPS_PROXY says.
    agent: false,
  })
  sent.on('response', resolve).on('error', reject)
  // Not as the request's own signal: that is heard when all has gone well, too.
  const stop = () => sent.destroy(end.reason)
  if (end.aborted) stop()
  end.addEventListener('abort', stop)
  try {
    const response = await promise
    const body = await text(response)
    if (response.headers[flavor] !== 'Google') throw new Error(`${host} is not a metadata server`)
    if (response.statusCode !== 200) throw new Error(`The metadata server answered ${response.statusCode}: ${body}`)
    return body
  } finally {
    end.removeEventListener('abort', stop)
  }
}

import {credentialHeaders} from './token.js'

/** @import {AnswerPanel} from './answer.js' */
/** @import {HttpRequest} from './request.js' */

/** The URL of a path of the API, relative to the page's own URL. @param {string} path */
export function urlOf(path) {
  return new URL(`.${path}`, document.baseURI).href
}

/** A new request id, whose prefix shows that the request comes from the page. */
export function newRequestId() {
  const random = crypto.getRandomValues(new Uint8Array(8))
  return `page-${Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

/**
 * Sends a request and shows its answer while it arrives.
 * @param {Pick<HttpRequest, 'method' | 'path' | 'headers' | 'body'>} request
 * @param {AnswerPanel} answer
 * @param {AbortSignal} signal
 */
export async function send({method, path, headers, body}, answer, signal) {
  const id = newRequestId()
  answer.begin(id)
  const events = eventReader(answer)
  try {
    const response = await fetch(urlOf(path), {
      method,
      headers: {...headers, ...credentialHeaders(), 'x-request-id': id},
      ...(body !== undefined && {body}),
      cache: 'no-store',
      signal,
    })
    answer.head(response)
    const type = response.headers.get('content-type') ?? ''
    if (type.startsWith('text/event-stream') && response.body) {
      answer.stream()
      const decoder = new TextDecoder()
      for await (const bytes of piecesOf(response.body)) events.read(decoder.decode(bytes, {stream: true}))
      if (!events.ended()) throw new Error('it ended before its last message')
    } else answer.whole(new Uint8Array(await response.arrayBuffer()), type)
    answer.end(events.ended() === 'failed' ? 'Failed' : undefined)
  } catch (error) {
    // A transient error is sent as an event, and then the connection is reset.
    if (events.ended() === 'failed') answer.end('Failed')
    else
      answer.end(signal.aborted ? 'Stopped' : `The connection broke: ${error instanceof Error ? error.message : error}`)
  }
}

/** Iterates a stream, which not every browser supports by itself. @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream */
async function* piecesOf(stream) {
  const reader = stream.getReader()
  for (;;) {
    const {done, value} = await reader.read()
    if (done) return
    yield value
  }
}

/**
 * Reads server-sent events, and passes their messages to `answer`. Streams are read as events rather than NDJSON, because an error is
 * an event, after which the response usually ends normally. With NDJSON the connection would be reset, and a browser may drop what came
 * just before.
 * @param {Pick<AnswerPanel, 'add' | 'fail'>} answer
 */
export function eventReader(answer) {
  let rest = ''
  /** @type {'complete' | 'failed' | undefined} */
  let ended
  return {
    /** @param {string} text the text since the last call */
    read(text) {
      const events = (rest + text).split('\n\n')
      rest = events.pop() ?? ''
      for (const event of events) {
        const lines = event.split('\n')
        const data = valuesOf(lines, 'data').join('\n')
        const [type] = valuesOf(lines, 'event')
        if (type === 'end') ended = 'complete'
        else if (type === 'error') {
          ended = 'failed'
          answer.fail(data)
        } else if (data !== '') answer.add(data)
      }
    },
    /** How the stream ended; undefined while it has not. */
    ended: () => ended,
  }
}

/** @param {readonly string[]} lines @param {string} name */
function valuesOf(lines, name) {
  const found = lines.filter((line) => line.startsWith(`${name}:`))
  return found.map((line) => line.slice(name.length + 1).replace(/^ /, ''))
}

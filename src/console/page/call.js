import {credentialHeaders} from './token.js'

/** @import {AnswerPanel} from './answer.js' */
/** @import {HttpRequest} from './request.js' */

/** The URL of a path of the API, wherever the page itself is. @param {string} path */
export function urlOf(path) {
  return new URL(`.${path}`, document.baseURI).href
}

/** A request id that says where the request comes from. */
export function newRequestId() {
  const random = crypto.getRandomValues(new Uint8Array(8))
  return `page-${Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

/**
 * Sends a request and shows its answer as it comes.
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
    // A failure that may pass is told, and then the connection is cut.
    if (events.ended() === 'failed') answer.end('Failed')
    else
      answer.end(signal.aborted ? 'Stopped' : `The connection broke: ${error instanceof Error ? error.message : error}`)
  }
}

/** Not every browser iterates a stream by itself. @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream */
async function* piecesOf(stream) {
  const reader = stream.getReader()
  for (;;) {
    const {done, value} = await reader.read()
    if (done) return
    yield value
  }
}

/**
 * Reads server-sent events, of which an answer gets the messages. They come by events rather than in lines, because a failure of a
 * stream is an event that most often ends it well: of lines the connection would be cut, and a browser may drop what came just before.
 * @param {Pick<AnswerPanel, 'add' | 'fail'>} answer
 */
export function eventReader(answer) {
  let rest = ''
  /** @type {'complete' | 'failed' | undefined} */
  let ended
  return {
    /** @param {string} text what has come since */
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
    /** How it ended; undefined as long as it has not. */
    ended: () => ended,
  }
}

/** @param {readonly string[]} lines @param {string} name */
function valuesOf(lines, name) {
  const found = lines.filter((line) => line.startsWith(`${name}:`))
  return found.map((line) => line.slice(name.length + 1).replace(/^ /, ''))
}

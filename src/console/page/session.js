import {newRequestId, urlOf} from './call.js'
import {credentialHeaders} from './token.js'

/** @import {AnswerPanel} from './answer.js' */

/** Limit for attempts to resume an interrupted file. */
const mostAttempts = 5

/**
 * Requests a resumable upload of Storage. If that fails, shows the reason.
 * @param {string} path path of the function upload-session
 * @param {File} file
 * @param {AnswerPanel} answer
 * @param {AbortSignal} signal
 * @returns {Promise<{uri: string, bucket: string, object: string} | undefined>}
 */
export async function askForSession(path, file, answer, signal) {
  const id = newRequestId()
  answer.begin(id)
  const response = await fetch(urlOf(path), {
    method: 'POST',
    headers: {'content-type': 'application/json', ...credentialHeaders(), 'x-request-id': id},
    body: JSON.stringify({size: file.size, ...(file.type && {contentType: file.type})}),
    signal,
  })
  if (response.ok) return await response.json()
  answer.head(response)
  answer.whole(new Uint8Array(await response.arrayBuffer()), response.headers.get('content-type') ?? '')
  answer.end()
  return undefined
}

/**
 * Sends a file to Storage. An interrupted transfer is resumed after the bytes that Storage has.
 * @param {string} uri
 * @param {File} file
 * @param {(sent: number) => void} tell
 * @param {AbortSignal} signal
 */
export async function putFile(uri, file, tell, signal) {
  let from = 0
  for (let attempt = 1; ; attempt++) {
    try {
      const range = from > 0 ? `bytes ${from}-${file.size - 1}/${file.size}` : undefined
      const {status, text} = await put(uri, file.slice(from), range, (sent) => tell(from + sent), signal)
      if (status === 200 || status === 201) return
      if (status < 500) throw new Error(`Storage answered ${status}: ${text.slice(0, 200)}`, {cause: 'final'})
    } catch (error) {
      if (signal.aborted || attempt === mostAttempts || /** @type {Error} */ (error).cause === 'final') throw error
    }
    from = await kept(uri, file.size, signal)
  }
}

/**
 * The number of bytes that Storage has.
 * @param {string} uri
 * @param {number} size
 * @param {AbortSignal} signal
 */
async function kept(uri, size, signal) {
  const {status, range} = await put(uri, new Blob(), `bytes */${size}`, () => {}, signal)
  if (status === 200 || status === 201) return size
  const [, last] = /-(\d+)$/.exec(range) ?? []
  return last === undefined ? 0 : Number(last) + 1
}

/**
 * Sends by XMLHttpRequest, because fetch does not report progress.
 * @param {string} uri
 * @param {Blob} body
 * @param {string | undefined} range
 * @param {(sent: number) => void} tell
 * @param {AbortSignal} signal
 * @returns {Promise<{status: number, text: string, range: string}>}
 */
function put(uri, body, range, tell, signal) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    xhr.open('PUT', uri)
    if (range) xhr.setRequestHeader('content-range', range)
    xhr.upload.onprogress = ({loaded}) => tell(loaded)
    xhr.onload = () =>
      resolve({status: xhr.status, text: xhr.responseText, range: xhr.getResponseHeader('range') ?? ''})
    xhr.onerror = () => reject(new Error('The connection to Storage broke'))
    xhr.onabort = () => reject(new Error('Stopped'))
    signal.addEventListener('abort', () => xhr.abort(), {once: true})
    xhr.send(body)
  })
}

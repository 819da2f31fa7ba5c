import {urlOf} from './call.js'
import {credentialHeaders} from './token.js'

/** @import {AnswerPanel} from './answer.js' */

/** Close codes of errors are this number plus the gRPC code. */
const ownCloseCodes = 4000

/**
 * Opens a call over a WebSocket. Messages are sent when they are written, and answers are shown while they arrive.
 * @param {string} path with its query
 * @param {AnswerPanel} answer
 */
export function openLive(path, answer) {
  const {authorization = ''} = credentialHeaders()
  // A browser cannot set headers of a WebSocket.
  const protocols = ['json', ...(authorization ? [`bearer.${authorization.replace(/^bearer /i, '')}`] : [])]
  const socket = new WebSocket(urlOf(path).replace(/^http/, 'ws'), protocols)
  /** Messages to send once the connection is open. @type {string[]} */
  const waiting = []
  /** The last frame, which may be the call's error. @type {string | undefined} */
  let last
  let isStopped = false
  answer.begin()
  answer.stream()
  socket.addEventListener('open', () => {
    answer.open()
    for (const text of waiting.splice(0)) socket.send(text)
  })
  socket.addEventListener('message', ({data}) => {
    if (String(data).startsWith('{"error":')) last = data
    else answer.add(data)
  })
  socket.addEventListener('close', ({code, reason}) => {
    if (last !== undefined && code >= ownCloseCodes) answer.fail(last)
    else if (last !== undefined) answer.add(last)
    answer.end(isStopped ? 'Stopped' : endOf(code, reason))
  })
  /** @param {string} text */
  const send = (text) => {
    if (socket.readyState === WebSocket.CONNECTING) waiting.push(text)
    else socket.send(text)
  }
  return {
    /** @param {string} json */
    send(json) {
      send(json)
      answer.sent(json)
    },
    /** Ends the request stream. Further answers may follow. */
    complete() {
      send('')
      answer.sent('')
    },
    stop() {
      isStopped = true
      socket.close()
    },
  }
}

/** @typedef {ReturnType<typeof openLive>} LiveCall */

/** @param {number} code @param {string} reason */
function endOf(code, reason) {
  if (code === 1000) return undefined
  if (code >= ownCloseCodes) return `Failed: ${reason}`
  const refused = 'The connection broke or was refused. Browsers do not tell a page why'
  return code === 1006 ? refused : `The connection was closed with ${code} ${reason}`.trim()
}

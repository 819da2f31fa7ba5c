import {urlOf} from './call.js'
import {credentialHeaders} from './token.js'

/** @import {AnswerPanel} from './answer.js' */

/** Close codes from here on are this and the gRPC code of the failure. */
const ownCloseCodes = 4000

/**
 * A call over a WebSocket: messages go as they are written, answers are shown as they come.
 * @param {string} path with its query
 * @param {AnswerPanel} answer
 */
export function openLive(path, answer) {
  const {authorization = ''} = credentialHeaders()
  // A browser sends no header with a WebSocket.
  const protocols = ['json', ...(authorization ? [`bearer.${authorization.replace(/^bearer /i, '')}`] : [])]
  const socket = new WebSocket(urlOf(path).replace(/^http/, 'ws'), protocols)
  /** Messages that are to be sent once it is open. @type {string[]} */
  const waiting = []
  /** The last frame, where it may say why the call failed. @type {string | undefined} */
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
    /** There are no more messages: what is still to be answered, is. */
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
  const refused = 'The connection broke, or was refused: a page is not told why'
  return code === 1006 ? refused : `The connection was closed with ${code} ${reason}`.trim()
}

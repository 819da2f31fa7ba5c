import {bytesText, copyButton, el, newId, timeText} from './dom.js'
import {coloured, prettyJson} from './json.js'
import {logLines} from './local.js'

/** Limit for the messages of a stream that are shown: the last ones. */
const mostShown = 200
/** A message up to this length is shown in one line, in characters. */
const oneLine = 72
/** Limit for shown text, in characters. The rest is cut off. */
const mostText = 1_000_000

/** @typedef {{readonly field: string, readonly description: string}} Violation */

/** @typedef {ReturnType<typeof answerPanel>} AnswerPanel */

/**
 * The panel that shows the answer to a request while it arrives.
 * @param {{onViolations?: (violations: readonly Violation[]) => void, onEnd?: () => void}} [listeners]
 */
export function answerPanel({onViolations, onEnd} = {}) {
  const titleId = newId()
  const state = el('p', {class: 'state', role: 'status'}, el('span', {class: 'quiet'}, 'Nothing sent yet.'))
  const stats = el('p', {class: 'stats'})
  const failure = el('div', {class: 'fault', hidden: true})
  const content = el('div', {class: 'content'})
  const messages = el('ol', {class: 'messages', tabindex: 0, 'aria-label': 'Messages', hidden: true})
  const headers = el('table', {}, el('caption', {class: 'hidden'}, 'Response headers'))
  const headerDetails = el('details', {hidden: true}, el('summary', {}, 'Headers'), headers)
  const log = el('div')
  const logSummary = el('summary', {}, 'Log')
  const logDetails = el('details', {hidden: true, class: 'log'}, logSummary, log)
  const requestId = el('p', {class: 'request-id', hidden: true})
  const element = el(
    'section',
    {class: 'answer panel', 'aria-labelledby': titleId},
    el('div', {class: 'panel-head'}, el('h2', {id: titleId}, 'Answer'), stats),
    ...[state, failure, content, messages, requestId, headerDetails, logDetails],
  )

  let id = ''
  let began = 0
  let count = 0
  let bytes = 0
  let lastCount = 0
  let lastTime = 0
  let rate = 0
  let isStream = false
  let isFailure = false
  /** @type {string[]} */
  let waiting = []
  /** @type {number | undefined} */
  let frame
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer
  /** @type {string | undefined} */
  let blobUrl

  const tell = () => {
    if (!isStream) return
    const total = performance.now() - began
    if (total < 1000) rate = (count * 1000) / Math.max(1, total)
    stats.replaceChildren(
      el('strong', {class: 'count'}, count.toLocaleString('en')),
      ` ${count === 1 ? 'message' : 'messages'} · ${rate.toFixed(rate < 10 ? 1 : 0)}/s · ${bytesText(bytes)} · ${timeText(total)}`,
    )
  }
  const measure = () => {
    const now = performance.now()
    rate = ((count - lastCount) * 1000) / Math.max(1, now - lastTime)
    lastCount = count
    lastTime = now
    tell()
  }
  const flush = () => {
    frame = undefined
    const isAtEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40
    const first = count - waiting.length + 1
    const shown = waiting.slice(-mostShown)
    messages.append(...shown.map((line, index) => messageItem(line, first + waiting.length - shown.length + index)))
    while (messages.childElementCount > mostShown) messages.firstElementChild?.remove()
    waiting = []
    if (isAtEnd) messages.scrollTop = messages.scrollHeight
    tell()
  }
  const showLog = async () => {
    const asked = id
    if (asked === '') return
    const lines = await logLines(asked)
    if (!lines || asked !== id) return
    logSummary.textContent = `Log (${lines.length} ${lines.length === 1 ? 'line' : 'lines'})`
    log.replaceChildren(...lines.map(logLine))
    logDetails.hidden = false
  }

  return {
    element,
    /** @param {string} [requestIdentifier] empty where the page cannot set it */
    begin(requestIdentifier = '') {
      id = requestIdentifier
      began = performance.now()
      lastTime = began
      count = bytes = lastCount = rate = 0
      isStream = false
      waiting = []
      if (blobUrl) URL.revokeObjectURL(blobUrl)
      blobUrl = undefined
      state.replaceChildren(el('span', {class: 'chip busy'}, 'Sending…'))
      for (const part of [stats, content, messages, failure]) part.replaceChildren()
      for (const part of [failure, messages, headerDetails, logDetails]) part.hidden = true
      requestId.hidden = id === ''
      requestId.replaceChildren(
        'Request id ',
        el('code', {}, id),
        ' ',
        copyButton(() => id, 'the request id'),
      )
    },
    /** @param {{status: number, statusText: string, headers: Iterable<[string, string]>}} response */
    head({status, statusText, headers: received}) {
      isFailure = status >= 400
      const time = timeText(performance.now() - began)
      const kind = status < 300 ? 'good' : status < 400 ? 'busy' : 'bad'
      state.replaceChildren(
        el('span', {class: `chip ${kind}`}, `${status} ${statusText || (statusTexts[status] ?? '')}`.trim()),
        el('span', {class: 'quiet'}, ` after ${time}`),
      )
      const rows = [...received].map(([name, value]) =>
        el('tr', {}, el('th', {scope: 'row'}, name), el('td', {}, value)),
      )
      headers.replaceChildren(...[...headers.querySelectorAll('caption')], ...rows)
      headerDetails.hidden = false
    },
    /** Prepares for a stream of messages. */
    stream() {
      isStream = true
      timer = setInterval(measure, 1000)
      tell()
    },
    /** Shows that the connection is open. */
    open() {
      state.replaceChildren(
        el('span', {class: 'chip good'}, 'Open'),
        el('span', {class: 'quiet'}, ` after ${timeText(performance.now() - began)}`),
      )
    },
    /** Shows a message that was sent. @param {string} line empty for the end of the request stream */
    sent(line) {
      flush()
      messages.hidden = false
      messages.append(sentItem(line))
      messages.scrollTop = messages.scrollHeight
    },
    /** Shows one message of a stream. @param {string} line */
    add(line) {
      messages.hidden = false
      count++
      bytes += line.length
      waiting.push(line)
      if (waiting.length > mostShown * 2) waiting = waiting.slice(-mostShown)
      frame ??= requestAnimationFrame(flush)
    },
    /** Shows the error with which a stream ended. @param {string} text */
    fail(text) {
      const fault = faultIn(jsonIn(text))
      if (fault) showFault(fault)
    },
    /** Shows a whole answer. @param {Uint8Array<ArrayBuffer>} body @param {string} type */
    whole(body, type) {
      bytes = body.length
      const isImage = /^image\/(?:png|jpeg|gif|webp|avif)\b/.test(type)
      const isText = /^(?:text\/|application\/(?:.*\+)?(?:json|xml|javascript))/.test(type) || type === ''
      if (!isText) {
        const url = URL.createObjectURL(new Blob([body], {type: isImage ? type : 'application/octet-stream'}))
        blobUrl = url
        if (isImage) content.append(el('img', {src: url, alt: 'The answer'}))
        content.append(el('p', {}, el('a', {href: url, download: 'answer'}, `${bytesText(bytes)} of ${type}`)))
        return
      }
      const text = new TextDecoder().decode(body)
      const value = jsonIn(text)
      const fault = isFailure ? faultIn(value) : undefined
      if (fault) showFault(fault)
      const shown = value === undefined ? text : prettyJson(value)
      if (shown === '') content.append(el('p', {class: 'quiet'}, 'The body is empty.'))
      else content.append(codeBlock(shown, 'the answer'))
      stats.textContent = bytesText(bytes)
    },
    /** @param {string} [why] the reason why it ended before it was complete */
    end(why) {
      clearInterval(timer)
      if (frame !== undefined) cancelAnimationFrame(frame)
      if (isStream) {
        flush()
        rate = (count * 1000) / Math.max(1, performance.now() - began)
        tell()
      }
      if (state.querySelector('.busy')) state.replaceChildren()
      const isBad = why !== undefined && why !== 'Stopped'
      if (why !== undefined) state.append(' ', el('span', {class: `chip ${isBad ? 'bad' : 'busy'}`}, why))
      else if (isStream)
        state.append(' ', el('span', {class: 'quiet'}, `· complete: ${count} ${count === 1 ? 'message' : 'messages'}`))
      showLog()
      onEnd?.()
    },
    /** Shows why nothing was sent. @param {string} text */
    refuse(text) {
      requestId.hidden = headerDetails.hidden = logDetails.hidden = messages.hidden = true
      for (const part of [stats, content, failure]) part.replaceChildren()
      failure.hidden = true
      state.replaceChildren(el('span', {class: 'chip bad'}, 'Not sent'), ` ${text}`)
    },
  }

  /** @param {Fault} fault */
  function showFault({status, message, violations, details}) {
    failure.hidden = false
    failure.replaceChildren(
      el('p', {}, el('strong', {}, status), ' ', message),
      ...(violations.length > 0
        ? [
            el(
              'ul',
              {},
              ...violations.map(({field, description}) =>
                el('li', {}, el('code', {}, field), description === message ? '' : ` ${description}`),
              ),
            ),
          ]
        : []),
      ...details.map((detail) => el('p', {class: 'quiet'}, detail)),
    )
    onViolations?.(violations)
  }
}

/** Reason phrases, which HTTP/2 does not send. @type {Readonly<Record<number, string>>} */
const statusTexts = {
  200: 'OK',
  204: 'No Content',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
}

/** @param {string} text @param {string} what */
function codeBlock(text, what) {
  return el(
    'div',
    {class: 'code-block'},
    el(
      'pre',
      {tabindex: 0, 'aria-label': `Text of ${what}`, role: 'region'},
      el('code', {}, ...coloured(text.slice(0, mostText))),
    ),
    copyButton(() => text, what),
  )
}

/** @param {string} line @param {number} number */
function messageItem(line, number) {
  const text = line.length <= oneLine ? line : prettyJson(jsonIn(line) ?? line)
  return el(
    'li',
    {},
    el('span', {class: 'number'}, `${number}`),
    el('pre', {}, el('code', {}, ...coloured(text.slice(0, mostText)))),
  )
}

/** @param {string} line */
function sentItem(line) {
  const text = line === '' ? 'no more messages' : line
  const mark = el('span', {class: 'number'}, '→', el('span', {class: 'hidden'}, 'sent'))
  return el(
    'li',
    {class: 'sent'},
    mark,
    line === '' ? el('span', {class: 'quiet'}, text) : el('pre', {}, el('code', {}, ...coloured(text))),
  )
}

/** @param {string} text @returns {unknown} */
function jsonIn(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @typedef {{status: string, message: string, violations: readonly Violation[], details: readonly string[]}} Fault */

/**
 * Reads the error in an answer, in either format: `{"error": {…}}`, or a google.rpc.Status. Undefined if there is none.
 * @param {unknown} value
 * @returns {Fault | undefined}
 */
function faultIn(value) {
  const outer = /** @type {any} */ (value)
  const error = outer?.error ?? outer
  if (typeof error?.code !== 'number' || typeof error.message !== 'string') return undefined
  /** @type {any[]} */
  const details = Array.isArray(error.details) ? error.details : []
  return {
    status: String(error.status ?? `Code ${error.code}`),
    message: error.message,
    violations: details.flatMap((detail) => (Array.isArray(detail?.fieldViolations) ? detail.fieldViolations : [])),
    details: details.filter((detail) => !Array.isArray(detail?.fieldViolations)).map(detailText),
  }
}

/** @param {any} detail */
function detailText({'@type': type = '', ...fields}) {
  return `${String(type).replace(/^.*[./]/, '')}: ${JSON.stringify(fields)}`
}

/** @param {string} line */
function logLine(line) {
  const record = /** @type {any} */ (jsonIn(line))
  if (!record) return el('pre', {}, line)
  const {severity = 'DEFAULT', timestamp = '', message = '', ...fields} = record
  const time = String(timestamp).slice(11, 23)
  return el(
    'details',
    {class: 'log-line'},
    el(
      'summary',
      {},
      el('span', {class: 'quiet'}, `${time} `),
      el('span', {class: `severity ${String(severity).toLowerCase()}`}, String(severity)),
      ` ${message}`,
    ),
    el('pre', {tabindex: 0}, el('code', {}, ...coloured(prettyJson(fields)))),
  )
}

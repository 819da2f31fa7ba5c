import {answerPanel} from './answer.js'
import {send, urlOf} from './call.js'
import {button, byId, callPanel, el, newId, setBusy} from './dom.js'
import {curlOf} from './request.js'
import {credentialHeaders, masked} from './token.js'

/** @import {PageFunction} from '../schema.ts' */

/**
 * The page of a function that is not a method of a proto. Any request can be sent to it.
 * @param {PageFunction} given
 */
export function functionPage({path}) {
  /** @type {AbortController | undefined} */
  let call
  const ids = {query: newId(), type: newId(), body: newId()}
  const verb = el(
    'select',
    {'aria-label': 'HTTP method', class: 'code', onchange: () => show()},
    ...['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((name) => el('option', {}, name)),
  )
  const query = el('input', {
    id: ids.query,
    type: 'text',
    class: 'code',
    placeholder: 'message=hi',
    spellcheck: 'false',
    oninput: () => show(),
  })
  const type = el('input', {id: ids.type, type: 'text', class: 'code', spellcheck: 'false', oninput: () => show()})
  type.value = 'application/json'
  const body = el('textarea', {id: ids.body, rows: 6, class: 'code editor', spellcheck: 'false', oninput: () => show()})
  const url = el('code', {class: 'url'})
  const curl = el('code')
  const sendButton = el('button', {class: 'primary'}, 'Send')
  const stopButton = button('Stop', () => call?.abort(), {class: 'stop', hidden: true})
  const answer = answerPanel({
    onEnd: () => {
      call = undefined
      stopButton.hidden = true
      setBusy(sendButton, false)
    },
  })
  const request = () => {
    const hasBody = verb.value !== 'GET' && body.value !== ''
    /** @type {Record<string, string>} */
    const headers = hasBody && type.value ? {'content-type': type.value} : {}
    return {
      method: verb.value,
      path: `${path}${query.value ? `?${query.value.replace(/^\?/, '')}` : ''}`,
      headers,
      body: hasBody ? body.value : undefined,
      problems: [],
    }
  }
  const curlText = (/** @type {(headers: Record<string, string>) => Record<string, string>} */ shown) => {
    const made = request()
    return curlOf(made, urlOf(made.path), shown({...made.headers, ...credentialHeaders()}))
  }
  const show = () => {
    url.textContent = request().path
    curl.textContent = curlText(masked)
    bodyPart.hidden = verb.value === 'GET'
  }
  const bodyPart = el(
    'div',
    {class: 'fields'},
    labelled(ids.type, 'Content-Type', type),
    labelled(ids.body, 'Body', body),
  )
  const element = el(
    'form',
    {
      class: 'method',
      onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault()
        if (call) return
        call = new AbortController()
        stopButton.hidden = false
        setBusy(sendButton, true)
        await send(request(), answer, call.signal)
      },
    },
    functionHead(path, 'This function is not a method of a proto. Any request can be sent to it.'),
    callPanel([verb, url, sendButton, stopButton], curl, curlText),
    el(
      'div',
      {class: 'columns'},
      el(
        'section',
        {class: 'panel', 'aria-label': 'Form'},
        el('div', {class: 'panel-head'}, el('h2', {}, 'Request')),
        labelled(ids.query, 'Query', query),
        bodyPart,
      ),
      el('div', {class: 'column'}, answer.element),
    ),
  )
  show()
  return {element, refresh: show}
}

/** @param {string} path @param {string} comment */
export function functionHead(path, comment) {
  return el(
    'header',
    {class: 'method-head'},
    el('p', {class: 'quiet'}, 'Function'),
    el('div', {class: 'row'}, el('h1', {tabindex: -1}, path)),
    el('p', {class: 'comment'}, comment),
  )
}

/** @param {string} id @param {string} name @param {...HTMLElement} controls */
export function labelled(id, name, ...controls) {
  return el('div', {class: 'field'}, el('div', {class: 'label'}, el('label', {for: id}, name)), ...controls)
}

/**
 * Shows the state of health in the page's header.
 * @param {boolean} hasBackends whether there is a function that checks the backends
 */
export async function showHealth(hasBackends) {
  const place = byId('health')
  const path = hasBackends ? '/health' : '/health/live'
  const {status, backends = []} = await healthAt(path)
  const words = {SERVING: 'healthy', UNKNOWN: 'reachable', NOT_SERVING: 'not healthy'}[status] ?? status
  const kind = status === 'SERVING' ? 'good' : status === 'UNKNOWN' ? 'busy' : 'bad'
  const summary = el(
    'summary',
    {},
    el('span', {class: `dot ${kind}`, 'aria-hidden': 'true'}),
    el('span', {class: 'words'}, words),
  )
  const items = backends.map(({url, status, note, message}) =>
    el('li', {}, el('strong', {}, status), ` ${url}`, (note ?? message) ? `: ${note ?? message}` : ''),
  )
  const again = button('Ask again', () => showHealth(hasBackends), {class: 'small'})
  const wasOpen = place.querySelector('details')?.open === true
  place.replaceChildren(
    el(
      'details',
      {open: wasOpen},
      summary,
      el(
        'div',
        {class: 'popover panel'},
        el('ul', {}, ...(items.length > 0 ? items : [el('li', {}, `${path}: ${status}`)])),
        again,
      ),
    ),
  )
}

/**
 * @param {string} path
 * @returns {Promise<{status: string, backends?: {url: string, status: string, note?: string, message?: string}[]}>}
 */
async function healthAt(path) {
  try {
    const response = await fetch(urlOf(path), {headers: credentialHeaders(), cache: 'no-store'})
    if (response.status === 401 || response.status === 403) return {status: 'closed without a token'}
    return await response.json()
  } catch {
    return {status: 'not reachable'}
  }
}

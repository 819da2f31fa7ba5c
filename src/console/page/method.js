import {answerPanel} from './answer.js'
import {send, urlOf} from './call.js'
import {button, callPanel, el, newId, paragraphs, setBusy} from './dom.js'
import {messageEditor, namesOf} from './fields.js'
import {parseJson, prettyJson} from './json.js'
import {openLive} from './live.js'
import {curlOf, requestOf} from './request.js'
import {credentialHeaders, masked} from './token.js'
import {shortName, typeDetails} from './types.js'

/** @import {PageBinding, PageMethod, PageSchema, PageService} from '../schema.ts' */
/** @import {Json} from './request.js' */

/** The four kinds of methods, as callers see them. */
export const kinds = {
  unary: {short: 'unary', says: 'One message, one answer.'},
  server_streaming: {short: 'server stream', says: 'One message, and a stream of answers.'},
  client_streaming: {short: 'client stream', says: 'A stream of messages, and one answer at its end.'},
  bidi_streaming: {short: 'bidi', says: 'A stream of messages, and a stream of answers.'},
}

/**
 * The page of a method: its form and its answer.
 * @param {PageSchema} schema
 * @param {PageService} service
 * @param {PageMethod} method
 */
export function methodPage({types, webSocket}, service, method) {
  const {bindings, kind} = method
  const sendsMany = kind === 'client_streaming' || kind === 'bidi_streaming'
  const isStream = kind === 'server_streaming' || kind === 'bidi_streaming'
  /** The messages that have been added to the request stream. @type {Json[]} */
  let added = []
  /** @type {AbortController | undefined} */
  let call
  /** @type {import('./live.js').LiveCall | undefined} */
  let live
  /** Whether the request stream of the live call has ended. */
  let isComplete = false

  const form = messageEditor({types, changed: () => fromForm()}, method.input)
  const jsonId = newId()
  const json = el('textarea', {id: jsonId, class: 'code editor', spellcheck: 'false', autocomplete: 'off', rows: 3})
  const jsonFailure = el('p', {class: 'failure', hidden: true, id: newId()})
  json.setAttribute('aria-describedby', jsonFailure.id)
  const url = el('code', {class: 'url'})
  const curl = el('code')
  const binding = bindingSelect(bindings, () => show())
  const sendButton = el('button', {class: 'primary', title: 'Ctrl and Enter'}, 'Send')
  const stopButton = button('Stop', () => (live ? live.stop() : call?.abort()), {class: 'stop', hidden: true})
  const endButton = button('No more messages', () => complete(), {hidden: true})
  const headers = headersEditor(() => show())
  const ways = wayChoice(() => show())
  const list = el('ol', {class: 'items added', 'aria-label': 'Messages to send'})
  const addButton = button('Add to the stream', () => add())
  const addRow = el('div', {class: 'row'}, addButton)
  const explained = el('p', {class: 'quiet'})
  const answer = answerPanel({onViolations: report, onEnd: ended})
  /** @type {{report: (message: string) => void}[]} */
  let reported = []

  /** @returns {Json | undefined} the message in the editor; undefined unless it is a JSON object */
  function message() {
    try {
      const value = json.value.trim() === '' ? {} : parseJson(json.value)
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw new Error('This is not a JSON object')
      jsonFailure.hidden = true
      json.removeAttribute('aria-invalid')
      return /** @type {Json} */ (value)
    } catch (error) {
      jsonFailure.textContent = error instanceof Error ? error.message : String(error)
      jsonFailure.hidden = false
      json.setAttribute('aria-invalid', 'true')
      return undefined
    }
  }

  function fromForm() {
    json.value = prettyJson(form.get())
    message()
    show()
  }

  function fromJson() {
    const value = message()
    if (value) form.set(value)
    show()
  }

  const isLive = () => webSocket && ways.isLive() && binding.value().reads === 'stream'

  function request() {
    const current = message() ?? {}
    const messages = sendsMany && added.length > 0 && !isLive() ? added : [current]
    const made = requestOf(types, method, binding.value(), messages)
    return {...made, headers: {...made.headers, ...headers.value()}}
  }

  function show() {
    const made = request()
    url.textContent = made.path
    curl.textContent = curlText(masked)
    const goesLive = isLive()
    ways.element.hidden = !(webSocket && binding.value().reads === 'stream')
    if (sendsMany) sendButton.textContent = added.length > 0 && !goesLive ? `Send ${added.length}` : 'Send'
    addRow.hidden = goesLive
    list.hidden = goesLive
    explained.textContent = goesLive ? '' : halfDuplex
  }

  /** @param {(headers: Record<string, string>) => Record<string, string>} shown */
  function curlText(shown) {
    const made = request()
    return curlOf(made, urlOf(made.path), shown({...made.headers, ...credentialHeaders()}), isStream)
  }

  function clearReports() {
    for (const field of reported) field.report('')
    reported = []
  }

  /** @param {readonly {field: string, description: string}[]} violations */
  function report(violations) {
    for (const {field, description} of violations) {
      const place = form.find?.(namesOf(field))
      if (!place) continue
      place.report(description)
      reported.push(place)
    }
  }

  async function begin() {
    if (call || isComplete) return
    clearReports()
    const unreadable = /** @type {HTMLElement | null} */ (form.element.querySelector(':invalid'))
    if (!message() || unreadable) {
      unreadable?.focus()
      return answer.refuse('The JSON is malformed.')
    }
    const made = request()
    if (made.problems.length > 0) {
      report(made.problems.map(({field, message}) => ({field, description: message})))
      return answer.refuse(made.problems.map(({field, message}) => `${field}: ${message}`).join('; '))
    }
    if (isLive()) return sendLive(made)
    call = new AbortController()
    stopButton.hidden = false
    setBusy(sendButton, true)
    ways.disable(true)
    const accept = isStream ? {accept: 'text/event-stream', ...made.headers} : made.headers
    await send({...made, headers: accept}, answer, call.signal)
  }

  /** Sends one more message. The first one starts the call. @param {ReturnType<typeof request>} made */
  function sendLive({path, bodies}) {
    if (!live) {
      live = openLive(path, answer)
      stopButton.hidden = endButton.hidden = false
      ways.disable(true)
    }
    live.send(JSON.stringify(bodies[0] ?? null))
    const {activeElement} = document
    // Selects the text, so that typing replaces it.
    if (activeElement instanceof HTMLInputElement || activeElement instanceof HTMLTextAreaElement)
      activeElement.select()
  }

  function complete() {
    live?.complete()
    isComplete = true
    endButton.hidden = true
    setBusy(sendButton, true)
    stopButton.focus()
  }

  function ended() {
    const hadFocus = document.activeElement === stopButton || document.activeElement === endButton
    call = undefined
    live = undefined
    isComplete = false
    stopButton.hidden = endButton.hidden = true
    setBusy(sendButton, false)
    ways.disable(false)
    if (hadFocus) sendButton.focus()
  }

  function add() {
    const value = message()
    if (!value) return
    added.push(value)
    form.set({})
    fromForm()
    showAdded()
  }

  function showAdded() {
    list.replaceChildren(
      ...added.map((value, index) =>
        el(
          'li',
          {class: 'row'},
          el('code', {class: 'line'}, JSON.stringify(value)),
          button('Edit', () => edit(index), {class: 'small', 'aria-label': `Edit message ${index + 1}`}),
          button('Remove', () => remove(index), {class: 'small', 'aria-label': `Remove message ${index + 1}`}),
        ),
      ),
    )
    show()
  }

  /** @param {number} index */
  function remove(index) {
    added = added.filter((_, other) => other !== index)
    showAdded()
    addButton.focus()
  }

  /** @param {number} index */
  function edit(index) {
    json.value = prettyJson(added[index])
    fromJson()
    remove(index)
  }

  json.addEventListener('input', fromJson)
  json.addEventListener('focus', () => {
    json.value ||= '{}'
  })

  const element = el(
    'form',
    {
      class: 'method',
      novalidate: true,
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault()
        begin()
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
          event.preventDefault()
          begin()
        }
      },
    },
    head(service, method, types),
    callPanel([binding.element, url, sendButton, endButton, stopButton], curl, curlText),
    el(
      'div',
      {class: 'columns'},
      el(
        'section',
        {class: 'panel', 'aria-label': 'Form'},
        el('div', {class: 'panel-head'}, el('h2', {}, sendsMany ? 'Next message' : 'Message'), typeName(method.input)),
        sendsMany && ways.element,
        ...paragraphs(types[method.input]?.comment ?? ''),
        form.element,
        headers.element,
        sendsMany && addRow,
        sendsMany && list,
        sendsMany && explained,
      ),
      el(
        'div',
        {class: 'column'},
        el(
          'section',
          {class: 'panel', 'aria-label': 'Request'},
          el('div', {class: 'panel-head'}, el('h2', {}, el('label', {for: jsonId}, 'JSON'))),
          json,
          jsonFailure,
        ),
        answer.element,
      ),
    ),
  )
  json.value = prettyJson(form.get())
  show()
  return {element, refresh: show}
}

const halfDuplex =
  'A page has to send the whole request before it can read the answer. All added messages are sent together, and then the answers follow.'

/**
 * The editor for additional headers, such as metadata for the backend, one on each line.
 * @param {() => void} changed
 */
function headersEditor(changed) {
  const area = el('textarea', {
    'aria-label': 'Request headers',
    rows: 2,
    class: 'code',
    placeholder: 'grpc-metadata-x-tenant: acme',
    spellcheck: 'false',
    oninput: changed,
  })
  const element = el('details', {class: 'more'}, el('summary', {}, 'Headers'), area)
  /** @returns {Record<string, string>} */
  const value = () => {
    const pairs = [...area.value.matchAll(/^\s*([\w!#$%&'*+.^`|~-]+)\s*:\s*(.*?)\s*$/gm)]
    return Object.fromEntries(pairs.map(([, name = '', value = '']) => [name.toLowerCase(), value]))
  }
  return {element, value}
}

/**
 * The choice of how messages are sent.
 * @param {() => void} changed
 */
function wayChoice(changed) {
  const name = newId()
  const liveInput = el('input', {type: 'radio', name, id: newId(), checked: true, onchange: changed})
  const onceInput = el('input', {type: 'radio', name, id: newId(), onchange: changed})
  const element = el(
    'fieldset',
    {class: 'row'},
    el('legend', {class: 'hidden'}, 'How messages are sent'),
    ...[liveInput, el('label', {for: liveInput.id}, 'Live, over a WebSocket')],
    ...[onceInput, el('label', {for: onceInput.id}, 'All at once')],
  )
  return {
    element,
    isLive: () => liveInput.checked,
    /** @param {boolean} isDisabled */
    disable: (isDisabled) => {
      element.disabled = isDisabled
    },
  }
}

/** @param {PageService} service @param {PageMethod} method @param {PageSchema['types']} types */
function head({name: serviceName}, {name, kind, comment, deprecated, output}, types) {
  return el(
    'header',
    {class: 'method-head'},
    el('p', {class: 'quiet'}, serviceName),
    el(
      'div',
      {class: 'row'},
      el('h1', {tabindex: -1}, name),
      el('span', {class: `kind ${kind}`, title: kinds[kind].says}, kinds[kind].short),
      deprecated && el('span', {class: 'badge'}, 'deprecated'),
      el('span', {class: 'quiet'}, '→'),
      typeDetails(types, output),
    ),
    ...paragraphs(comment),
  )
}

/** @param {string} name */
function typeName(name) {
  return el('code', {class: 'type', title: name}, shortName(name))
}

/**
 * The choice of the binding, if a method has several.
 * @param {readonly PageBinding[]} bindings
 * @param {() => void} changed
 */
function bindingSelect(bindings, changed) {
  const textOf = (/** @type {PageBinding} */ {method, path}) =>
    `${method} ${path.map((piece) => (typeof piece === 'string' ? piece : bracesOf(piece))).join('')}`
  const [only] = bindings
  if (bindings.length === 1 && only) {
    return {element: el('code', {class: 'verb'}, only.method), value: () => only}
  }
  const select = el(
    'select',
    {'aria-label': 'Path', class: 'code', onchange: changed},
    ...bindings.map((binding, index) => el('option', {value: index}, textOf(binding))),
  )
  return {element: select, value: () => /** @type {PageBinding} */ (bindings[Number(select.value)])}
}

/** @param {{field: string, pattern: string}} variable */
function bracesOf({field, pattern}) {
  return pattern === '*' ? `{${field}}` : `{${field}=${pattern}}`
}

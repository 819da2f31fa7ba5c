import {answerPanel} from './answer.js'
import {eventReader, newRequestId, send, urlOf} from './call.js'
import {button, bytesText, callPanel, el, newId, setBusy} from './dom.js'
import {messageEditor, namesOf} from './fields.js'
import {functionHead, labelled} from './functions.js'
import {local} from './local.js'
import {curlOf} from './request.js'
import {askForSession, putFile} from './session.js'
import {credentialHeaders, masked} from './token.js'

/** @import {PageSchema, PageUpload} from '../schema.ts' */

/** Cloud Run's limit for a request over HTTP/1.1, in bytes. */
const mostDirect = 32 * 1024 * 1024

/**
 * The page of an upload function: a file, or an object of Storage, with its context.
 * @param {PageSchema} schema
 * @param {string} path
 * @param {PageUpload} upload
 */
export function uploadPage({types, functions}, path, {method, context, required}) {
  /** The path of upload-session, for files that are too large for a request; undefined if there is none. */
  const sessions = functions.find((other) => other.uploadSession && other.path.startsWith(`${path}/`))?.path
  /** @type {(() => void) | undefined} */
  let stop
  const form = messageEditor({types, changed: () => show()}, context)
  const file = el('input', {type: 'file', id: newId(), onchange: () => chosen()})
  const bucket = el('input', {type: 'text', id: newId(), class: 'code', spellcheck: 'false', oninput: () => show()})
  const object = el('input', {type: 'text', id: newId(), class: 'code', spellcheck: 'false', oninput: () => show()})
  const known = el('datalist', {id: newId()})
  object.setAttribute('list', known.id)
  const source = newId()
  const fromFile = el('input', {type: 'radio', name: source, id: newId(), checked: true, onchange: () => show()})
  const fromStorage = el('input', {type: 'radio', name: source, id: newId(), onchange: () => show()})
  const filePart = labelled(file.id, 'File', file)
  const storagePart = el(
    'div',
    {class: 'fields'},
    labelled(bucket.id, 'Bucket', bucket),
    labelled(object.id, 'Object', object),
    known,
  )
  const sendButton = el('button', {class: 'primary'}, 'Upload')
  const stopButton = button('Stop', () => stop?.(), {class: 'stop', hidden: true})
  const curl = el('code')
  const url = el('code', {class: 'url'})
  const bar = el('progress', {max: 1, 'aria-label': 'Progress of the upload'})
  const told = el('p', {class: 'stats'})
  const progress = el('div', {class: 'progress', hidden: true}, bar, told)
  const note = el(
    'p',
    {class: 'quiet'},
    sessions ? 'Files of more than 32 MiB are sent to Storage first, and uploaded from there.' : '',
  )
  const failure = el('p', {class: 'failure', hidden: true})
  const answer = answerPanel({onViolations: report, onEnd: ended})
  let began = 0

  local().then((stack) => {
    const [first] = stack?.objects ?? []
    if (!first) return
    bucket.value ||= first.bucket
    known.append(...(stack?.objects ?? []).map(({object, size}) => el('option', {value: object}, bytesText(size))))
    show()
  })

  function chosen() {
    const [one] = file.files ?? []
    const value = /** @type {Record<string, unknown>} */ (form.get())
    if (one && required.includes('name') && value.name === undefined) form.set({...value, name: one.name})
    show()
  }

  function request() {
    const value = /** @type {Record<string, unknown>} */ (form.get())
    if (fromStorage.checked) return jobOf({bucket: bucket.value, object: object.value})
    const [one] = file.files ?? []
    const query = new URLSearchParams()
    addParameters(query, '', value)
    // A JSON body would name an object to upload, rather than be the content.
    const type = one?.type && !/^application\/json/i.test(one.type) ? one.type : 'application/octet-stream'
    return {
      method: 'POST',
      path: query.size > 0 ? `${path}?${query}` : path,
      headers: {'content-type': type, accept: 'text/event-stream'},
      body: undefined,
      problems: [],
    }
  }

  /** @param {{bucket: string, object: string}} place */
  function jobOf({bucket, object}) {
    return {
      method: 'POST',
      path,
      headers: {'content-type': 'application/json', accept: 'text/event-stream'},
      body: JSON.stringify({bucket, object, context: form.get()}),
      problems: [],
    }
  }

  /** @param {(headers: Record<string, string>) => Record<string, string>} shown */
  function curlText(shown) {
    const made = request()
    const headers = shown({...made.headers, ...credentialHeaders()})
    const line = curlOf(made, urlOf(made.path), headers, true)
    const [one] = file.files ?? []
    if (fromStorage.checked) return line
    return line.replace('curl -N -X POST', `curl -N --data-binary '@${(one?.name ?? 'FILE').replaceAll("'", "'\\''")}'`)
  }

  function show() {
    filePart.hidden = note.hidden = !fromFile.checked
    storagePart.hidden = !fromStorage.checked
    url.textContent = request().path
    curl.textContent = curlText(masked)
  }

  /** @param {readonly {field: string, description: string}[]} violations */
  function report(violations) {
    for (const {field, description} of violations)
      form.find?.(namesOf(field.replace(/^context\./, '')))?.report(description)
  }

  function ended() {
    stop = undefined
    stopButton.hidden = true
    setBusy(sendButton, false)
  }

  /** @param {number} done @param {number} total @param {string} what */
  function tell(done, total, what) {
    bar.value = total > 0 ? done / total : 1
    const seconds = Math.max(0.001, (performance.now() - began) / 1000)
    const percent = total > 0 ? Math.floor((done / total) * 100) : 100
    told.textContent = `${what} ${percent} % · ${bytesText(done)} of ${bytesText(total)} · ${bytesText(Math.round(done / seconds))}/s`
  }

  /** Shows progress from an event; other events are messages of the answer. @param {string} line */
  function taken(line) {
    const {progress: at} = /** @type {{progress?: {sent: number, total: number}}} */ (JSON.parse(line))
    if (!at) return answer.whole(new TextEncoder().encode(line), 'application/json')
    tell(at.sent, at.total, 'Backend has')
  }

  async function begin() {
    if (stop) return
    const [one] = file.files ?? []
    failure.hidden = true
    if (fromFile.checked && (!one || (one.size > mostDirect && !sessions))) {
      failure.hidden = false
      failure.textContent = one
        ? `${bytesText(one.size)} are too much for one request: the limit of Cloud Run is 32 MiB. Put the file into Storage, and upload the object.`
        : 'Choose a file first.'
      file.focus()
      return
    }
    began = performance.now()
    progress.hidden = false
    bar.removeAttribute('value')
    told.textContent = ''
    stopButton.hidden = false
    setBusy(sendButton, true)
    const made = request()
    if (fromStorage.checked) {
      const controller = new AbortController()
      stop = () => controller.abort()
      await send(made, {...answer, stream() {}, add: taken}, controller.signal)
    } else if (one && one.size > mostDirect) await sendBySession(one)
    else if (one) sendFile(made, one)
  }

  /** Sends a file to Storage, and then uploads it from there. @param {File} one */
  async function sendBySession(one) {
    const controller = new AbortController()
    stop = () => controller.abort()
    try {
      const place = await askForSession(sessions ?? '', one, answer, controller.signal)
      if (!place) return
      await putFile(place.uri, one, (sent) => tell(sent, one.size, 'Storage has'), controller.signal)
      began = performance.now()
      await send(jobOf(place), {...answer, stream() {}, add: taken}, controller.signal)
    } catch (error) {
      answer.end(controller.signal.aborted ? 'Stopped' : `${error instanceof Error ? error.message : error}`)
    }
  }

  /**
   * Sends a file as the body, by XMLHttpRequest, because fetch does not report progress.
   * @param {{path: string, headers: Record<string, string>}} made
   * @param {File} one
   */
  function sendFile(made, one) {
    const id = newRequestId()
    const xhr = new XMLHttpRequest()
    xhr.open('POST', urlOf(made.path))
    const headers = {...made.headers, ...credentialHeaders(), 'x-request-id': id}
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value)
    answer.begin(id)
    let read = 0
    const events = eventReader({...answer, add: taken})
    const isEvents = () => /event-stream/.test(xhr.getResponseHeader('content-type') ?? '')
    xhr.upload.onprogress = ({loaded, total}) => tell(loaded, total, 'Sent')
    xhr.onreadystatechange = () => {
      if (xhr.readyState === XMLHttpRequest.HEADERS_RECEIVED) {
        const lines = xhr.getAllResponseHeaders().trim().split('\r\n')
        const pairs = lines.map((line) => /** @type {[string, string]} */ (line.split(/:\s*/, 2)))
        answer.head({status: xhr.status, statusText: xhr.statusText, headers: pairs})
      }
    }
    xhr.onprogress = () => {
      if (!isEvents()) return
      events.read(xhr.responseText.slice(read))
      read = xhr.responseText.length
    }
    xhr.onload = () => {
      if (!isEvents())
        answer.whole(new TextEncoder().encode(xhr.responseText), xhr.getResponseHeader('content-type') ?? '')
      answer.end(events.ended() === 'failed' ? 'Failed' : undefined)
    }
    xhr.onerror = () => answer.end(events.ended() === 'failed' ? 'Failed' : 'The connection broke')
    xhr.onabort = () => answer.end('Stopped')
    stop = () => xhr.abort()
    xhr.send(one)
  }

  const element = el(
    'form',
    {
      class: 'method',
      novalidate: true,
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault()
        begin()
      },
    },
    functionHead(path, `Streams a file, or an object of Storage, into ${method}.`),
    callPanel([el('code', {class: 'verb'}, 'POST'), url, sendButton, stopButton], curl, curlText),
    el(
      'div',
      {class: 'columns'},
      el(
        'section',
        {class: 'panel', 'aria-label': 'Form'},
        el(
          'fieldset',
          {class: 'row'},
          el('legend', {}, 'What'),
          fromFile,
          el('label', {for: fromFile.id}, 'A file'),
          fromStorage,
          el('label', {for: fromStorage.id}, 'An object of Storage'),
        ),
        filePart,
        note,
        storagePart,
        failure,
        el(
          'div',
          {class: 'panel-head'},
          el('h2', {}, 'Context'),
          el('code', {class: 'type'}, context.replace(/^.*\./, '')),
        ),
        required.length > 0 && el('p', {class: 'quiet'}, `It needs ${required.join(', ')}.`),
        form.element,
      ),
      el('div', {class: 'column'}, el('section', {class: 'panel', 'aria-label': 'Request'}, progress), answer.element),
    ),
  )
  show()
  return {element, refresh: show}
}

/** Adds fields as parameters. Fields of nested messages are named by their paths. @param {URLSearchParams} query @param {string} prefix @param {Record<string, unknown>} fields */
function addParameters(query, prefix, fields) {
  for (const [name, value] of Object.entries(fields)) {
    if (Array.isArray(value)) for (const one of value) query.append(prefix + name, String(one))
    else if (typeof value === 'object' && value !== null) {
      addParameters(query, `${prefix}${name}.`, /** @type {Record<string, unknown>} */ (value))
    } else if (value !== null) query.append(prefix + name, String(value))
  }
}

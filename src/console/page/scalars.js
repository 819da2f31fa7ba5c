import {button, el, newId} from './dom.js'
import {parseJson, prettyJson} from './json.js'

/** @import {PageEnum, PageField} from '../schema.ts' */

/**
 * The editor of one value. `get` returns JSON, or undefined for an empty value.
 * @typedef {object} Editor
 * @property {HTMLElement} element
 * @property {HTMLElement} [control] the input that the label and a violation belong to
 * @property {() => unknown} get
 * @property {unknown} [zero] the JSON of an empty value where a value is required: in a list, or for a field that is set
 * @property {(value: unknown) => void} set
 * @property {(path: readonly string[]) => Reporting | undefined} [find] the field at a path of names and indexes
 */

/**
 * A field that can show a violation.
 * @typedef {object} Reporting
 * @property {(message: string) => void} report
 * @property {HTMLElement} element
 */

const integers = /^(?:s?int|uint|s?fixed)(32|64)$/

/** Messages whose JSON is one scalar. @type {Readonly<Record<string, string>>} */
const wrappers = {
  'google.protobuf.BoolValue': 'bool',
  'google.protobuf.BytesValue': 'bytes',
  'google.protobuf.DoubleValue': 'double',
  'google.protobuf.FloatValue': 'float',
  'google.protobuf.Int32Value': 'int32',
  'google.protobuf.Int64Value': 'int64',
  'google.protobuf.StringValue': 'string',
  'google.protobuf.UInt32Value': 'uint32',
  'google.protobuf.UInt64Value': 'uint64',
}

/** Messages whose JSON is text, with an example. @type {Readonly<Record<string, string>>} */
const texts = {
  'google.protobuf.Timestamp': '2026-01-31T12:00:00Z',
  'google.protobuf.Duration': '1.5s',
  'google.protobuf.FieldMask': 'user.displayName,photo',
}

/** Messages whose JSON can be anything, with an example. @type {Readonly<Record<string, string>>} */
const anything = {
  'google.protobuf.Any': '{"@type": "type.googleapis.com/…"}',
  'google.protobuf.ListValue': '[1, "two"]',
  'google.protobuf.Struct': '{"key": "value"}',
  'google.protobuf.Value': 'any JSON',
}

/** @param {PageField} field whether it has to be set to differ from zero */
export function isWrapper({of}) {
  return of !== undefined && Object.hasOwn(wrappers, of)
}

/**
 * The editor for one value of a field; undefined for a message with fields, which needs a messageEditor().
 * @param {PageField} field
 * @param {PageEnum | undefined} values of an enum
 * @param {() => void} changed
 * @returns {Editor | undefined}
 */
export function scalarEditor({type, of = ''}, values, changed) {
  const scalar = wrappers[of] ?? type
  if (of === 'google.protobuf.NullValue') return constant(null)
  if (of === 'google.protobuf.Empty') return constant({})
  if (texts[of] !== undefined) return textEditor(changed, texts[of], (text) => text, '')
  if (anything[of] !== undefined) return jsonEditor(changed, anything[of])
  if (values) return choice(values, changed)
  if (scalar === 'message') return undefined
  if (scalar === 'bool') return tick(changed)
  if (scalar === 'bytes') return bytesEditor(changed)
  if (scalar === 'string') return stringEditor(changed)
  const zero = integers.exec(scalar)?.[1] === '64' ? '0' : 0
  return textEditor(changed, integers.test(scalar) ? '0' : '0.0', readerOf(scalar), zero)
}

/**
 * Converts text to JSON. Invalid text is sent unchanged, so that the API reports the error.
 * @param {string} scalar
 * @returns {(text: string) => unknown}
 */
function readerOf(scalar) {
  const [, bits] = integers.exec(scalar) ?? []
  if (bits === '64') return (text) => text
  return (text) => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text)
}

/** @param {unknown} value */
function constant(value) {
  /** @type {Editor} */
  const editor = {element: el('code', {class: 'quiet'}, prettyJson(value)), get: () => value, zero: value, set() {}}
  return editor
}

/**
 * @param {() => void} changed
 * @param {string} example
 * @param {(text: string) => unknown} read
 * @param {unknown} zero
 * @returns {Editor}
 */
function textEditor(changed, example, read, zero) {
  const input = el('input', {
    type: 'text',
    placeholder: example,
    autocomplete: 'off',
    spellcheck: 'false',
    oninput: changed,
  })
  return {
    element: input,
    control: input,
    zero,
    get: () => (input.value === '' ? undefined : read(input.value)),
    set: (value) => {
      input.value = textOf(value)
    },
  }
}

/** @param {unknown} value */
function textOf(value) {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** Enter sends the request, Shift+Enter makes a new line. @param {() => void} changed @returns {Editor} */
function stringEditor(changed) {
  const area = el('textarea', {rows: 1, autocomplete: 'off', spellcheck: 'false', oninput: changed})
  area.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    area.form?.requestSubmit()
  })
  return {
    element: area,
    control: area,
    zero: '',
    get: () => (area.value === '' ? undefined : area.value),
    set: (value) => {
      area.value = textOf(value)
    },
  }
}

/** @param {() => void} changed @returns {Editor} */
function tick(changed) {
  const box = el('input', {type: 'checkbox', onchange: changed})
  return {
    element: el('span', {class: 'tick'}, box),
    control: box,
    zero: false,
    get: () => box.checked || undefined,
    set: (value) => {
      box.checked = value === true
    },
  }
}

/**
 * The editor of an enum. The first value is zero, which leaves the field unset.
 * @param {PageEnum} desc
 * @param {() => void} changed
 * @returns {Editor}
 */
function choice({values}, changed) {
  const names = values.map(({name}) => name)
  const select = el(
    'select',
    {onchange: changed},
    ...values.map(({name, comment}) => el('option', {value: name, title: comment || undefined}, name)),
  )
  return {
    element: select,
    control: select,
    zero: names[0],
    get: () =>
      select.value === names[0] ? undefined : /^-?\d+$/.test(select.value) ? Number(select.value) : select.value,
    set: (value) => {
      const name = textOf(value ?? names[0])
      // A number without a name, or a name from a newer schema.
      if (!names.includes(name) && !select.querySelector(`option[value="${CSS.escape(name)}"]`)) {
        select.append(el('option', {value: name}, name))
      }
      select.value = name
    },
  }
}

/** @param {() => void} changed @param {string} example @returns {Editor} */
function jsonEditor(changed, example) {
  const area = el('textarea', {rows: 2, class: 'code', placeholder: example, spellcheck: 'false', oninput: changed})
  return {
    element: area,
    control: area,
    zero: {},
    get: () => {
      area.setCustomValidity('')
      if (area.value.trim() === '') return undefined
      try {
        return parseJson(area.value)
      } catch (error) {
        area.setCustomValidity(error instanceof Error ? error.message : 'This is not JSON')
        return undefined
      }
    },
    set: (value) => {
      area.value = value === undefined ? '' : prettyJson(value)
      area.setCustomValidity('')
    },
  }
}

/** The editor of bytes: as text, in base64, or from a file. @param {() => void} changed @returns {Editor} */
function bytesEditor(changed) {
  const area = el('textarea', {rows: 1, class: 'code', spellcheck: 'false', autocomplete: 'off', oninput: changed})
  const form = el(
    'select',
    {'aria-label': 'How the bytes are written', onchange: changed, class: 'narrow'},
    el('option', {value: 'text'}, 'text'),
    el('option', {value: 'base64'}, 'base64'),
  )
  const file = el('input', {type: 'file', hidden: true, id: newId(), 'aria-label': 'A file with the bytes'})
  /** @param {string} base64 */
  const put = (base64) => {
    form.value = 'base64'
    area.value = base64
  }
  file.addEventListener('change', async () => {
    const [chosen] = file.files ?? []
    if (!chosen) return
    put(toBase64(new Uint8Array(await chosen.arrayBuffer())))
    file.value = ''
    changed()
  })
  return {
    element: el(
      'div',
      {class: 'row'},
      area,
      form,
      button('File…', () => file.click(), {class: 'small'}),
      file,
    ),
    control: area,
    zero: '',
    get: () => {
      if (area.value === '') return undefined
      return form.value === 'base64' ? area.value.trim() : toBase64(new TextEncoder().encode(area.value))
    },
    set: (value) => {
      if (value === undefined) area.value = ''
      else put(textOf(value))
    },
  }
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  let text = ''
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(text)
}

/** @param {string} base64 base64url too @returns {Uint8Array<ArrayBuffer>} */
export function fromBase64(base64) {
  const text = atob(base64.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

import {button, el, newId, paragraphs} from './dom.js'
import {isWrapper, scalarEditor} from './scalars.js'
import {typeText} from './types.js'

/** @import {PageEnum, PageField, PageMessage, PageSchema} from '../schema.ts' */
/** @import {Editor, Reporting} from './scalars.js' */

/**
 * What all fields of a form share.
 * @typedef {object} FormContext
 * @property {PageSchema['types']} types
 * @property {() => void} changed called after each change
 */

/**
 * The editor of a message. The editors of its fields are made when they are first set, because a message may contain itself.
 * @param {FormContext} context
 * @param {string} typeName
 * @returns {Editor}
 */
export function messageEditor(context, typeName) {
  const {fields} = /** @type {PageMessage} */ (context.types[typeName] ?? {comment: '', fields: []})
  /** @type {Map<string, ReturnType<typeof fieldEditor>>} by JSON name */
  const editors = new Map()
  const element = el('div', {class: 'fields'})
  const oneofs = new Set()
  for (const field of fields) {
    if (!field.oneof) {
      const editor = fieldEditor(context, field)
      editors.set(field.json, editor)
      element.append(editor.element)
    } else if (!oneofs.has(field.oneof)) {
      oneofs.add(field.oneof)
      const {oneof} = field
      element.append(
        oneofEditor(
          context,
          oneof,
          fields.filter((other) => other.oneof === oneof),
          editors,
        ),
      )
    }
  }
  if (fields.length === 0) element.append(el('p', {class: 'quiet'}, 'It has no fields.'))
  /** Members of the JSON for which the form has no field. They are kept. @type {Record<string, unknown>} */
  let rest = {}
  return {
    element,
    zero: {},
    get: () => {
      const set = [...editors].map(([json, editor]) => [json, editor.get()]).filter(([, value]) => value !== undefined)
      return {...Object.fromEntries(set), ...rest}
    },
    set: (value) => {
      rest = {...(typeof value === 'object' && value !== null ? value : {})}
      for (const {json, name, of} of fields) {
        const key = Object.hasOwn(rest, json) ? json : name
        const given = rest[key] === null && !takesNull(of) ? undefined : rest[key]
        delete rest[key]
        editors.get(json)?.set(given, given !== undefined)
      }
    },
    find: ([name = '', ...path]) => {
      const json = fields.find((field) => field.json === name || field.name === name)?.json
      const editor = json === undefined ? undefined : editors.get(json)
      return editor && (editor.find(path) ?? editor)
    },
  }
}

/**
 * The editor of a oneof: a choice of the member, and the editor of the chosen one.
 * @param {FormContext} context
 * @param {string} name
 * @param {readonly PageField[]} members
 * @param {Map<string, ReturnType<typeof fieldEditor>>} editors receives the members' editors
 */
function oneofEditor(context, name, members, editors) {
  const id = newId()
  const chosen = el('div')
  const select = el(
    'select',
    {
      id,
      onchange: () => {
        show()
        context.changed()
      },
    },
    el('option', {value: ''}, 'none of them'),
    ...members.map(({json}) => el('option', {value: json}, json)),
  )
  const show = () => {
    const editor = editors.get(select.value)
    chosen.replaceChildren(...(editor ? [editor.element] : []))
    if (editor) editor.choose()
  }
  for (const field of members) {
    const editor = fieldEditor(context, {...field, optional: false}, {isChosen: () => select.value === field.json})
    editors.set(field.json, {
      ...editor,
      set: (value, isSet) => {
        if (isSet) select.value = field.json
        else if (select.value === field.json) select.value = ''
        else return
        show()
        if (isSet) editor.set(value, true)
      },
    })
  }
  return el(
    'div',
    {class: 'field'},
    el('div', {class: 'label'}, el('label', {for: id}, name), el('span', {class: 'type'}, 'oneof')),
    select,
    chosen,
  )
}

/**
 * The editor of one field, with its name, comment, whether it is set, and its value.
 * @param {FormContext} context
 * @param {PageField} field
 * @param {{isChosen?: () => boolean}} [options] for a member of a oneof, which is set if it is chosen
 */
function fieldEditor(context, field, {isChosen} = {}) {
  const {json, comment, required, deprecated} = field
  const id = newId()
  const failure = el('p', {class: 'failure', id: `${id}-failure`, hidden: true})
  const body = el('div')
  /** @type {Editor | undefined} */
  let editor
  const hasSwitch = !isChosen && isSwitched(field, context)
  const box = el('input', {
    type: 'checkbox',
    id: `${id}-set`,
    'aria-label': `Set ${json}`,
    onchange: () => {
      toggle()
      context.changed()
    },
  })
  /** The editor, made on first use. */
  const made = () => {
    if (editor) return editor
    const changed = () => {
      failure.hidden = true
      control?.removeAttribute('aria-invalid')
      if (hasSwitch) box.checked = true
      context.changed()
    }
    editor = field.many ? manyEditor({...context, changed}, field) : singleEditor({...context, changed}, field)
    const control = editor.control
    if (control) {
      control.id = id
      control.setAttribute('aria-describedby', `${id}-comment ${id}-failure`)
    }
    body.append(editor.element)
    return editor
  }
  const isNested = isMessage(field, context) && !field.many
  /** Shows or hides the editor. That of a message is made when it is set, because a message may contain itself. */
  const toggle = () => {
    if (box.checked) made()
    body.hidden = hasSwitch && isNested && !box.checked
  }
  if (!isChosen && !(hasSwitch && isNested)) made()
  toggle()
  /** @param {string} message */
  const report = (message) => {
    failure.textContent = message
    failure.hidden = message === ''
    const control = editor?.control
    if (message) control?.setAttribute('aria-invalid', 'true')
    else control?.removeAttribute('aria-invalid')
  }
  const isGroup = isNested || field.many
  const element = el(
    'div',
    {class: isGroup ? 'field group' : 'field', ...(isGroup && {role: 'group', 'aria-label': json})},
    el(
      'div',
      {class: 'label'},
      hasSwitch && box,
      el('label', {for: hasSwitch && isNested ? `${id}-set` : id}, json),
      el('span', {class: 'type'}, typeText(field)),
      required && el('span', {class: 'badge'}, 'required'),
      deprecated && el('span', {class: 'badge'}, 'deprecated'),
    ),
    el('div', {id: `${id}-comment`}, ...paragraphs(comment)),
    body,
    failure,
  )
  return {
    element,
    get: () => {
      if (isChosen ? !isChosen() : hasSwitch && !box.checked) return undefined
      const {control, zero, get} = made()
      const value = get()
      if (control instanceof HTMLTextAreaElement && control.validationMessage) report(control.validationMessage)
      return value === undefined && (hasSwitch || isChosen) ? zero : value
    },
    /** @param {unknown} value @param {boolean} isSet */
    set: (value, isSet) => {
      if (hasSwitch) box.checked = isSet
      if (editor || isSet) made().set(value)
      toggle()
    },
    choose: () => void made(),
    report,
    /** @param {readonly string[]} path @returns {Reporting | undefined} */
    find: (path) => (path.length > 0 ? editor?.find?.(path) : undefined),
  }
}

/** Whether null is a value of the type. For all other types it means unset (ProtoJSON). @param {string | undefined} type */
function takesNull(type) {
  return type === 'google.protobuf.Value' || type === 'google.protobuf.NullValue'
}

/** Whether a field has a checkbox for being set. @param {PageField} field @param {FormContext} context */
function isSwitched(field, context) {
  if (field.many) return false
  if (field.optional || isWrapper(field) || isMessage(field, context)) return true
  return field.of === 'google.protobuf.Empty' || field.of === 'google.protobuf.NullValue'
}

/** Whether a field holds a message with fields of its own. @param {PageField} field @param {FormContext} context */
function isMessage({type, of = ''}, {types}) {
  return type === 'message' && Object.hasOwn(types, of)
}

/** The editor of a single value. @param {FormContext} context @param {PageField} field @returns {Editor} */
function singleEditor(context, field) {
  const {type, of = ''} = field
  const values = type === 'enum' ? /** @type {PageEnum} */ (context.types[of]) : undefined
  return scalarEditor(field, values, context.changed) ?? messageEditor(context, of)
}

/** The editor of a list or a map. @param {FormContext} context @param {PageField} field @returns {Editor} */
function manyEditor(context, field) {
  const {json, many} = field
  const list = el('ol', {class: 'items'})
  /** @type {{editor: Editor, key: HTMLInputElement, element: HTMLElement, report: (message: string) => void}[]} */
  let items = []
  /** @param {unknown} value @param {string} name */
  const add = (value, name) => {
    const editor = singleEditor(context, {...field, many: undefined})
    const key = el('input', {
      type: 'text',
      class: 'key',
      placeholder: 'key',
      'aria-label': `A key of ${json}`,
      oninput: context.changed,
    })
    key.value = name
    const failure = el('p', {class: 'failure', hidden: true, id: newId()})
    editor.control?.setAttribute('aria-label', `A value of ${json}`)
    editor.control?.setAttribute('aria-describedby', failure.id)
    const remove = button(
      'Remove',
      () => {
        const place = items.indexOf(item)
        items = items.filter((other) => other !== item)
        item.element.remove()
        context.changed()
        const next = items[Math.min(place, items.length - 1)]?.element ?? element
        next.querySelector('button')?.focus()
      },
      {class: 'small', 'aria-label': `Remove from ${json}`},
    )
    const item = {
      editor,
      key,
      element: el('li', {}, el('div', {class: 'row'}, many === 'map' && key, editor.element, remove), failure),
      /** @param {string} message */
      report: (message) => {
        failure.textContent = message
        failure.hidden = message === ''
      },
    }
    if (value !== undefined) editor.set(value)
    items.push(item)
    list.append(item.element)
    return item
  }
  const clear = () => {
    items = []
    list.replaceChildren()
  }
  const element = el(
    'div',
    {class: 'many'},
    list,
    button(
      'Add',
      () => {
        const {key, editor, element} = add(undefined, '')
        context.changed()
        const first =
          many === 'map' ? key : (editor.control ?? element.querySelector('input, textarea, select, button'))
        if (first instanceof HTMLElement) first.focus()
      },
      {class: 'small', 'aria-label': `Add to ${json}`},
    ),
  )
  /** @param {Editor} editor */
  const itemOf = (editor) => editor.get() ?? editor.zero
  return {
    element,
    get: () => {
      if (items.length === 0) return undefined
      if (many === 'list') return items.map(({editor}) => itemOf(editor))
      return Object.fromEntries(items.map(({key, editor}) => [key.value, itemOf(editor)]))
    },
    set: (value) => {
      clear()
      if (many === 'list' && Array.isArray(value)) for (const one of value) add(one, '')
      else if (many === 'map' && typeof value === 'object') {
        for (const [name, one] of Object.entries(value ?? {})) add(one, name)
      }
    },
    find: ([name = '', ...path]) => {
      const item = many === 'list' ? items[Number(name)] : items.find(({key}) => key.value === name)
      return item && ((path.length > 0 && item.editor.find?.(path)) || item)
    },
  }
}

/**
 * The names and indexes of a path in a violation, such as `items[2].labels["a"]`.
 * @param {string} path
 * @returns {string[]}
 */
export function namesOf(path) {
  const names = path.matchAll(/\["((?:[^"\\]|\\.)*)"\]|\[([^\]]*)\]|([^.[\]]+)/g)
  return [...names].map(([, quoted, index, name]) => quoted ?? index ?? name ?? '')
}

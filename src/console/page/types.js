import {el, paragraphs} from './dom.js'

/** @import {PageField, PageSchema} from '../schema.ts' */

/**
 * The description of a type. Nested types are opened one by one, because a message may contain itself.
 * @param {PageSchema['types']} types
 * @param {string} name
 */
export function typeDetails(types, name) {
  const details = el(
    'details',
    {class: 'type-details', ontoggle: () => open()},
    el('summary', {}, el('code', {title: name}, shortName(name))),
  )
  const open = () => {
    if (details.childElementCount > 1) return
    const type = types[name]
    if (!type) return
    const entries =
      'fields' in type
        ? type.fields.map((field) => entry(field.json, typeText(field), field.comment, linkOf(types, field)))
        : type.values.map(({name, comment}) => entry(name, '', comment))
    details.append(el('div', {class: 'type-body'}, ...paragraphs(type.comment), el('ul', {}, ...entries)))
  }
  return details
}

/** @param {string} name @param {string} type @param {string} comment @param {HTMLElement} [more] */
function entry(name, type, comment, more) {
  const head = el('div', {class: 'label'}, el('strong', {}, name), el('span', {class: 'type'}, type))
  return el('li', {}, head, ...paragraphs(comment), more)
}

/** @param {PageSchema['types']} types @param {PageField} field */
function linkOf(types, {of}) {
  return of !== undefined && Object.hasOwn(types, of) ? typeDetails(types, of) : undefined
}

/** The type of a field in words. @param {PageField} field */
export function typeText({type, of, many, key}) {
  const one = of === undefined ? type : shortName(of)
  if (many === 'map') return `map of ${key} to ${one}`
  return many === 'list' ? `repeated ${one}` : one
}

/** @param {string} name */
export function shortName(name) {
  return name.replace(/^.*\./, '')
}

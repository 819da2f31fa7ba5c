import {button, byId, el, newId} from './dom.js'
import {functionPage, showHealth} from './functions.js'
import {local} from './local.js'
import {kinds, methodPage} from './method.js'
import {credentialHeaders, tokenDialog} from './token.js'
import {uploadPage} from './upload.js'

/** @import {PageSchema} from '../schema.ts' */

/** @typedef {{element: HTMLElement, refresh: () => void}} Shown */

const nav = byId('nav')
const main = byId('main')
const menu = byId('menu')

/** Pages that have been shown. They are kept with the text that was typed. @type {Map<string, Shown>} */
const shown = new Map()
/** All pages, by the fragment of the URL. @type {Map<string, () => Shown>} */
let pages = new Map()

const token = tokenDialog(() => {
  for (const {refresh} of shown.values()) refresh()
  if (pages.size === 0) start()
  else showHealth(pages.has('/health'))
})

menu.addEventListener('click', () => setMenu(menu.getAttribute('aria-expanded') !== 'true'))
nav.addEventListener('keydown', ({key}) => {
  if (key !== 'Escape' || menu.getAttribute('aria-expanded') !== 'true') return
  setMenu(false)
  menu.focus()
})
addEventListener('hashchange', () => show(true))
start()

async function start() {
  local().then((stack) => stack?.tokens && token.offerLocal())
  const response = await fetch(new URL('console/schema.json', document.baseURI), {headers: credentialHeaders()})
  if (!response.ok) return showClosed(response.status, await response.json().catch(() => undefined))
  /** @type {PageSchema} */
  const schema = await response.json()
  document.title = schema.title
  byId('title').textContent = schema.title
  byId('version').textContent = schema.version
  pages = pagesOf(schema)
  nav.replaceChildren(...navigation(schema))
  showHealth(schema.functions.some(({path}) => path === '/health'))
  show(false)
}

/** @param {number} status @param {{error?: {message?: string}, message?: string} | undefined} body */
function showClosed(status, body) {
  const why = {
    401: 'The API shows its methods only to authenticated callers.',
    403: 'This caller may not see the methods of the API.',
  }
  main.replaceChildren(
    el(
      'section',
      {class: 'panel closed'},
      el('h1', {tabindex: -1}, status === 401 ? 'A token is needed' : 'Nothing to show yet'),
      el(
        'p',
        {},
        why[/** @type {401} */ (status)] ??
          `The API answers with ${status}: ${body?.error?.message ?? body?.message ?? ''}`,
      ),
      el(
        'div',
        {class: 'row'},
        button('Set a token', () => token.open(), {class: 'primary'}),
        button('Try again', start),
      ),
    ),
  )
}

/** @param {PageSchema} schema @returns {Map<string, () => Shown>} */
function pagesOf(schema) {
  /** @type {[string, () => Shown][]} */
  const methods = schema.services.flatMap((service) =>
    service.methods.map((method) => [`${service.name}/${method.name}`, () => methodPage(schema, service, method)]),
  )
  /** @type {[string, () => Shown][]} */
  const functions = shownFunctions(schema).map((given) => [
    given.path,
    () => (given.upload ? uploadPage(schema, given.path, given.upload) : functionPage(given)),
  ])
  return new Map([...methods, ...functions])
}

/** Functions that are not a part of another function's page. @param {PageSchema} schema */
function shownFunctions({functions}) {
  return functions.filter(({uploadSession}) => !uploadSession)
}

/** @param {PageSchema} schema */
function navigation(schema) {
  const {services} = schema
  const id = newId()
  const filter = el('input', {id, type: 'search', placeholder: 'Filter', autocomplete: 'off', spellcheck: 'false'})
  const groups = services.map(({name, methods}) =>
    group(
      name,
      methods.map((method) => ({
        place: `${name}/${method.name}`,
        text: method.name,
        badge: el('span', {class: `kind ${method.kind}`}, kinds[method.kind].short),
        words: `${name} ${method.name} ${method.bindings.map(({path}) => path.filter((piece) => typeof piece === 'string').join('')).join(' ')}`,
      })),
    ),
  )
  const others = shownFunctions(schema).map(({path}) => ({place: path, text: path, badge: undefined, words: path}))
  if (others.length > 0) groups.push(group('Functions', others))
  filter.addEventListener('input', () => {
    const words = filter.value.toLowerCase().split(/\s+/)
    for (const element of groups) {
      const links = [...element.querySelectorAll('li')]
      for (const item of links) item.hidden = !words.every((word) => item.dataset.words?.includes(word))
      element.hidden = links.every((item) => item.hidden)
    }
  })
  return [
    el('label', {for: id, class: 'hidden'}, 'Filter the methods'),
    filter,
    ...groups,
    el('p', {class: 'quiet links'}, el('a', {href: 'openapi.json'}, 'openapi.json')),
  ]
}

/** @param {string} name @param {{place: string, text: string, badge: HTMLElement | undefined, words: string}[]} entries */
function group(name, entries) {
  return el(
    'section',
    {'aria-label': name},
    el('h2', {title: name}, name),
    el(
      'ul',
      {},
      ...entries.map(({place, text, badge, words}) =>
        el(
          'li',
          {'data-words': words.toLowerCase()},
          el('a', {href: `#${place}`, 'data-place': place}, el('span', {}, text), badge),
        ),
      ),
    ),
  )
}

/** Shows the page that the URL names, or the first one. @param {boolean} isMove whether the user has navigated */
function show(isMove) {
  const place = textOf(location.hash.slice(1))
  const [first] = pages.keys()
  const name = pages.has(place) ? place : first
  const make = name === undefined ? undefined : pages.get(name)
  if (name === undefined || !make) return
  const page = shown.get(name) ?? make()
  shown.set(name, page)
  page.refresh()
  main.replaceChildren(page.element)
  for (const link of nav.querySelectorAll('a[data-place]')) {
    if (link.getAttribute('data-place') === name) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  setMenu(false)
  if (!isMove) return
  scrollTo(0, 0)
  page.element.querySelector('h1')?.focus()
}

/** Decodes text from a URL, which may be malformed. @param {string} encoded */
function textOf(encoded) {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}

/** Opens or closes the menu of methods in narrow windows. @param {boolean} isOpen */
function setMenu(isOpen) {
  menu.setAttribute('aria-expanded', String(isOpen))
  nav.classList.toggle('open', isOpen)
}

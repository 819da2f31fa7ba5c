/**
 * Creates an element. Strings among the children become text nodes, so text from an API is never parsed as HTML.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties] attributes; `on…` are listeners; false and undefined are left out
 * @param {...(Node | string | undefined | false)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value))
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter((child) => child !== undefined && child !== false))
  return element
}

/** @param {string} name @param {() => void} click @param {Record<string, unknown>} [more] */
export function button(name, click, more = {}) {
  return el('button', {type: 'button', onclick: click, ...more}, name)
}

/**
 * The element of the page that has this id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id)
  if (!element) throw new Error(`The page has no element "${id}"`)
  return element
}

/**
 * Marks a button as busy. It is not disabled, because then a keyboard user would lose the focus.
 * @param {HTMLButtonElement} button
 * @param {boolean} isBusy
 */
export function setBusy(button, isBusy) {
  button.setAttribute('aria-disabled', String(isBusy))
}

let ids = 0

/** A unique id for an element. */
export function newId() {
  return `id${++ids}`
}

/**
 * The paragraphs of a comment, which empty lines separate. Text in backquotes is shown as code.
 * @param {string} comment
 * @returns {HTMLElement[]}
 */
export function paragraphs(comment) {
  return comment
    .split(/\n{2,}/)
    .filter((text) => text.trim() !== '')
    .map((text) => el('p', {class: 'comment'}, ...inline(text)))
}

/** @param {string} text */
function inline(text) {
  return text.split(/(`[^`\n]+`)/).map((part) => (/^`.+`$/.test(part) ? el('code', {}, part.slice(1, -1)) : part))
}

/**
 * A button that copies the result of `text`, and confirms it.
 * @param {() => string} text
 * @param {string} what
 */
export function copyButton(text, what) {
  const element = button(
    'Copy',
    async () => {
      element.textContent = await copied(text())
      setTimeout(() => {
        element.textContent = 'Copy'
      }, 1500)
    },
    {class: 'small', 'aria-label': `Copy ${what}`},
  )
  return element
}

/**
 * A command in one line, with a button that copies it.
 * @param {Node} command
 * @param {() => string} text what is copied
 */
function commandLine(command, text) {
  return el(
    'div',
    {class: 'command'},
    el('pre', {tabindex: 0, role: 'region', 'aria-label': 'As a curl command'}, command),
    copyButton(text, 'the curl command'),
  )
}

/**
 * The panel at the top of a call: its request line with the buttons, and the equivalent curl command.
 * @param {(Node | string)[]} bar
 * @param {Node} curl
 * @param {(shown: (headers: Record<string, string>) => Record<string, string>) => string} curlText
 */
export function callPanel(bar, curl, curlText) {
  const command = commandLine(curl, () => curlText((headers) => headers))
  return el('div', {class: 'panel'}, el('div', {class: 'bar'}, ...bar), command)
}

/** Copies text to the clipboard, which only secure pages may, and returns the text to confirm it. @param {string} text */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text)
    return 'Copied'
  } catch {
    return 'Not allowed'
  }
}

/** @param {number} bytes */
export function bytesText(bytes) {
  if (bytes < 1000) return `${bytes} B`
  const units = ['kB', 'MB', 'GB']
  const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power - 1]}`
}

/** @param {number} ms */
export function timeText(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 100_000 ? 1 : 0)} s`
}

import {shortened} from '../../core/shortened.ts'

/** Parameters whose values say how to answer, and nothing about anybody: the log has them where they are one plain word. */
const harmless: ReadonlySet<string> = new Set([
  '$alt',
  'alt',
  '$prettyPrint',
  'prettyPrint',
  'pageSize',
  'page_size',
  'upstream',
])
const plainWord = /^[\w-]{1,16}$/

/** A parameter without a value that is a name: without digits it is hardly a token. */
const flagName = /^[a-z$][a-z_.-]{0,31}$/i

/** The placeholder for a value. */
const hidden = '…'

/** The longest path, query and name of a parameter in the log, in characters. */
const mostPath = 1024
const mostQuery = 1024
const mostName = 100

/** Of a query with more parameters only these are looked at. */
const mostParameters = 256

/** Values below this length are not removed from a text, in characters: they are part of many words. */
const leastValue = 4

/** A text that begins with as many characters of a value quotes it, shortened. */
const giveaway = 16

/** `path` as the log has it: without a fragment, which a request should not have. */
export function loggedPath(path: string): string {
  return shortened(path.split('#', 1)[0]!, mostPath)
}

/** A raw query, without its `?`, as the log has it: the names of the parameters, but no values unless they are harmless. */
export function loggedQuery(query: string): string {
  const shown = parametersOf(query).map(({name, value, isShown}) => (isShown ? name + value : name + hidden))
  return shortened(shown.join('&'), mostQuery)
}

/** An http URL as the log has it: without credentials, values of parameters, and fragment; undefined when it is none. */
export function loggedUrl(text: string): string | undefined {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) return undefined
  return `${url.origin}${withQuery(loggedPath(url.pathname), url.search.slice(1))}`
}

/** `path` with what the log has of `query`. */
export function withQuery(path: string, query: string): string {
  return query ? `${path}?${loggedQuery(query)}` : path
}

/** `text` without the values that loggedQuery() hides: a backend's message may quote them. */
export function withoutValues(text: string, query: string): string {
  let clean = text
  for (const {value, isShown} of parametersOf(query)) {
    if (isShown) continue
    for (const form of new Set([value, decoded(value)])) clean = without(clean, form)
  }
  return clean
}

interface Parameter {
  /** With the `=` behind it, as it stands in the query; empty when there is none that can be shown. */
  readonly name: string
  readonly value: string
  readonly isShown: boolean
}

function parametersOf(query: string): Parameter[] {
  if (!query) return []
  return query.split('&', mostParameters).map((parameter) => {
    const equals = parameter.indexOf('=')
    // A token alone, in base64 perhaps: the `=` behind it is padding.
    if (equals < 0 || /^=+$/.test(parameter.slice(equals))) {
      return {name: '', value: parameter, isShown: flagName.test(parameter.replace(/=+$/, ''))}
    }
    const name = parameter.slice(0, equals)
    const value = parameter.slice(equals + 1)
    const isShown = harmless.has(decoded(name)) && plainWord.test(value)
    return {name: `${shortened(name, mostName)}=`, value, isShown}
  })
}

/** `text` without `value`, and without the beginning of it. */
function without(text: string, value: string): string {
  if (value.length < leastValue) return text
  const [start = '', ...others] = text.split(value.slice(0, giveaway))
  const rest = value.slice(giveaway)
  return start + others.map((other) => hidden + other.slice(sameLength(other, rest))).join('')
}

/** How many characters `left` and `right` begin with in common. */
function sameLength(left: string, right: string): number {
  let length = 0
  while (length < left.length && left[length] === right[length]) length++
  return length
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

import {shortened} from '../../core/shortened.ts'

/** Parameters about the format of the answer, which contain no personal data. Their values are logged if they are a plain word. */
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

/** A parameter without a value is logged as a name if it has no digits, because then it is hardly a token. */
const flagName = /^[a-z$][a-z_.-]{0,31}$/i

/** The placeholder for a value. */
const hidden = '…'

/** Limits for a path, a query and the name of a parameter in the log, in characters. */
const mostPath = 1024
const mostQuery = 1024
const mostName = 100

/** Limit for the parameters of a query that are processed. */
const mostParameters = 256

/** Minimum length of a value that is removed from a text, in characters. Shorter ones occur in many words. */
const leastValue = 4

/** Number of equal characters from which a text is treated as a shortened quote of a value. */
const giveaway = 16

/** `path` for the log: without a fragment, which a request should not have. */
export function loggedPath(path: string): string {
  return shortened(path.split('#', 1)[0]!, mostPath)
}

/** A raw query, without its `?`, for the log: the names of the parameters, and only harmless values. */
export function loggedQuery(query: string): string {
  const shown = parametersOf(query).map(({name, value, isShown}) => (isShown ? name + value : name + hidden))
  return shortened(shown.join('&'), mostQuery)
}

/** An http URL for the log: without credentials, values of parameters, and fragment. Undefined for any other text. */
export function loggedUrl(text: string): string | undefined {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) return undefined
  return `${url.origin}${withQuery(loggedPath(url.pathname), url.search.slice(1))}`
}

/** `path` and `query` for the log. */
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
  /** The name with its `=`, as in the query; empty if there is none that may be logged. */
  readonly name: string
  readonly value: string
  readonly isShown: boolean
}

function parametersOf(query: string): Parameter[] {
  if (!query) return []
  return query.split('&', mostParameters).map((parameter) => {
    const equals = parameter.indexOf('=')
    // It may be a token alone, in base64, whose `=` is padding.
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

/** Length of the common prefix of `left` and `right`. */
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

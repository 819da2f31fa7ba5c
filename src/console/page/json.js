import {el} from './dom.js'

/**
 * JSON in which no integer loses digits: one that a number cannot hold becomes a string, which proto3 JSON takes as well.
 * @param {string} text
 * @returns {unknown}
 * @throws {SyntaxError}
 */
export function parseJson(text) {
  /** @type {(key: string, value: unknown, context?: {source?: string}) => unknown} */
  const exact = (_key, value, context) => {
    const source = context?.source
    const isLost = typeof value === 'number' && source !== undefined && /^-?\d+$/.test(source)
    return isLost && !Number.isSafeInteger(value) ? source : value
  }
  return JSON.parse(text, exact)
}

/** @param {unknown} value */
export function prettyJson(value) {
  return JSON.stringify(value, undefined, 2) ?? ''
}

/** Longer text is shown without colours, in characters. */
const mostColoured = 200_000

const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/**
 * JSON in colours, as pieces of a `pre`.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function coloured(text) {
  if (text.length > mostColoured) return [text]
  /** @type {(Node | string)[]} */
  const pieces = []
  let at = 0
  for (const match of text.matchAll(token)) {
    const [all, string, colon] = match
    if (match.index > at) pieces.push(text.slice(at, match.index))
    const kind = colon ? 'key' : string ? 'string' : /^[tfn]/.test(all) ? 'word' : 'number'
    pieces.push(el('span', {class: `json-${kind}`}, string ?? all))
    if (colon) pieces.push(colon)
    at = match.index + all.length
  }
  pieces.push(text.slice(at))
  return pieces
}

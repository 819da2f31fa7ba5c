import {el} from './dom.js'

/**
 * Parses JSON without losing digits of integers: one that a number cannot hold becomes a string, which proto3 JSON accepts as well.
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

/** Limit for coloured text, in characters. Longer text has no colours. */
const mostColoured = 200_000

const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/**
 * Colours JSON: returns the children of a `pre`.
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

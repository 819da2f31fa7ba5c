import {fromBase64} from './scalars.js'

/** @import {PageBinding, PageField, PageMessage, PageMethod, PageSchema, PageVariable} from '../schema.ts' */

/**
 * A request. If it has `problems`, which are about fields, it cannot be sent.
 * @typedef {object} HttpRequest
 * @property {string} method
 * @property {string} path from the root of the API, with its query
 * @property {Record<string, string>} headers
 * @property {string | Uint8Array<ArrayBuffer> | undefined} body
 * @property {readonly unknown[]} bodies the JSON of each message in the body
 * @property {{field: string, message: string}[]} problems
 */

/** @typedef {Record<string, unknown>} Json */

/**
 * Converts a call to an HTTP request, by one binding: path, body, and the remaining fields in the query.
 * @param {PageSchema['types']} types
 * @param {PageMethod} method
 * @param {PageBinding} binding
 * @param {readonly Json[]} messages one, or several for a stream, of which the first one gives path and query
 * @returns {HttpRequest}
 */
export function requestOf(types, {input}, binding, messages) {
  /** @type {HttpRequest['problems']} */
  const problems = []
  const [first = {}] = messages
  const bound = binding.path.filter((piece) => typeof piece !== 'string').map(({field}) => field)
  const path = binding.path.map((piece) =>
    typeof piece === 'string' ? piece : pathText(types, input, piece, first, problems),
  )
  const bodyOf = (/** @type {Json} */ message) => {
    const rest = without(types, input, message, bound)
    return binding.body === '*' ? rest : valueAt(types, input, rest, binding.body)
  }
  const query = new URLSearchParams()
  if (binding.body !== '*') {
    const closed = binding.body ? [...bound, binding.body] : bound
    addQuery(types, input, without(types, input, first, closed), '', query, problems)
  }
  const bodies = messages.map(bodyOf)
  const {body, type} = bodyPart(binding, bodies, problems)
  return {
    method: binding.method,
    path: `${path.join('')}${query.size > 0 ? `?${query}` : ''}`,
    headers: type ? {'content-type': type} : {},
    body,
    bodies,
    problems,
  }
}

/**
 * @param {PageBinding} binding
 * @param {readonly unknown[]} bodies
 * @param {HttpRequest['problems']} problems
 * @returns {{body: HttpRequest['body'], type?: string}}
 */
function bodyPart({reads, body: field, method}, bodies, problems) {
  const [first] = bodies
  if (reads === 'nothing' || method === 'GET' || method === 'HEAD') return {body: undefined}
  if (reads === 'stream') return {body: linesOf(bodies), type: 'application/x-ndjson'}
  if (reads === 'message') return {body: JSON.stringify(first ?? (field === '*' ? {} : null)), type: 'application/json'}
  const {contentType: type = 'application/octet-stream', data = ''} = /** @type {Record<string, string>} */ (
    first ?? {}
  )
  try {
    return {body: fromBase64(data), type}
  } catch {
    problems.push({field: field === '*' ? 'data' : `${field}.data`, message: 'This is not base64'})
    return {body: undefined}
  }
}

/** @param {readonly unknown[]} values */
function linesOf(values) {
  return values.map((value) => `${JSON.stringify(value ?? null)}\n`).join('')
}

/**
 * The text of a variable in a path.
 * @param {PageSchema['types']} types
 * @param {string} input
 * @param {PageVariable} variable
 * @param {Json} message
 * @param {HttpRequest['problems']} problems
 */
function pathText(types, input, {field, pattern}, message, problems) {
  const value = valueAt(types, input, message, field)
  const text = value === undefined || value === null ? '' : String(value)
  const [expected, isRight] = shapeOf(pattern)
  if (!isRight.test(text)) {
    problems.push({field, message: text === '' ? `The path needs ${expected}` : `The path takes ${expected}`})
  }
  const segments = pattern === '*' ? [text] : text.split('/')
  // A browser would resolve them, even if they are percent-encoded.
  if (segments.some((segment) => segment === '.' || segment === '..')) {
    problems.push({
      field,
      message: 'A browser cannot have "." or ".." in a path: the curl command can, with --path-as-is',
    })
  }
  if (text === '') return `{${field}}`
  return segments.map(encodeURIComponent).join('/')
}

/** What a path pattern accepts, in words and as a regular expression. @param {string} pattern @returns {[string, RegExp]} */
function shapeOf(pattern) {
  if (pattern === '*') return ['a value', /./s]
  const segments = pattern.split('/').map((segment) => {
    if (segment === '*') return '[^/]+'
    return segment === '**' ? '.*' : decodeURIComponent(segment).replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  })
  return [
    pattern === '**' ? 'segments' : `"${decodeURIComponent(pattern)}"`,
    new RegExp(`^${segments.join('/')}$`, 's'),
  ]
}

/**
 * Adds the fields of a message to a query, one parameter for each. Fields of nested messages are named by their paths.
 * @param {PageSchema['types']} types
 * @param {string} typeName
 * @param {Json} message
 * @param {string} prefix
 * @param {URLSearchParams} query
 * @param {HttpRequest['problems']} problems
 */
function addQuery(types, typeName, message, prefix, query, problems) {
  for (const [name, value] of Object.entries(message)) {
    const field = fieldOf(types, typeName, name)
    const path = `${prefix}${name}`
    if (value === null) continue
    const isPlain = field?.type === 'message' && !field.many && field.of !== undefined && Object.hasOwn(types, field.of)
    if (isPlain && isObject(value)) addQuery(types, field.of ?? '', value, `${path}.`, query, problems)
    else if (Array.isArray(value) && value.every((item) => !isObject(item) && !Array.isArray(item))) {
      for (const item of value) query.append(path, String(item))
    } else if (typeof value !== 'object' && !(field?.many === 'map')) query.append(path, String(value))
    else problems.push({field: path, message: 'A query cannot contain this: choose a path that takes a body'})
  }
}

/** @param {unknown} value @returns {value is Json} */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @param {PageSchema['types']} types @param {string} typeName @param {string} name @returns {PageField | undefined} */
function fieldOf(types, typeName, name) {
  const type = /** @type {PageMessage | undefined} */ (types[typeName])
  return type?.fields?.find((field) => field.json === name || field.name === name)
}

/** The key of a field in `message`, which is either of the field's names. @param {PageSchema['types']} types @param {string} typeName @param {Json} message @param {string} json */
function keyOf(types, typeName, message, json) {
  const name = fieldOf(types, typeName, json)?.name ?? json
  return Object.hasOwn(message, json) ? json : name
}

/**
 * @param {PageSchema['types']} types
 * @param {string} typeName
 * @param {Json} message
 * @param {string} path by JSON names
 * @returns {unknown}
 */
function valueAt(types, typeName, message, path) {
  const [name = '', ...rest] = path.split('.')
  const value = message[keyOf(types, typeName, message, name)]
  if (rest.length === 0) return value
  return isObject(value) ? valueAt(types, fieldOf(types, typeName, name)?.of ?? '', value, rest.join('.')) : undefined
}

/**
 * A copy of `message` without some fields, and without nested messages that are empty then.
 * @param {PageSchema['types']} types
 * @param {string} typeName
 * @param {Json} message
 * @param {readonly string[]} paths
 * @returns {Json}
 */
function without(types, typeName, message, paths) {
  const copy = {...message}
  for (const path of paths) {
    const [name = '', ...rest] = path.split('.')
    const key = keyOf(types, typeName, copy, name)
    const value = copy[key]
    if (rest.length === 0) delete copy[key]
    else if (isObject(value)) {
      copy[key] = without(types, fieldOf(types, typeName, name)?.of ?? '', value, [rest.join('.')])
      if (Object.keys(/** @type {Json} */ (copy[key])).length === 0) delete copy[key]
    }
  }
  return copy
}

/**
 * The request as a curl command.
 * @param {Pick<HttpRequest, 'method' | 'body'>} request
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {boolean} [isStream] whether the answer is a stream
 */
export function curlOf({method, body}, url, headers, isStream = false) {
  const isBytes = body instanceof Uint8Array
  const words = ['curl', ...(isStream ? ['-N'] : [])]
  const usual = body === undefined ? 'GET' : 'POST'
  if (method === 'HEAD') words.push('-I')
  else if (method !== usual) words.push('-X', method)
  for (const [name, value] of Object.entries(headers)) words.push('-H', quoted(`${name}: ${value}`))
  if (isBytes) words.push('--data-binary', '@-')
  else if (body !== undefined) words.push('--data-binary', quoted(body.trimEnd()))
  words.push(quoted(url))
  const line = words.join(' ')
  return isBytes
    ? `printf %s ${quoted(btoa(String.fromCharCode(...body.subarray(0, 65_536))))} | base64 -d | ${line}`
    : line
}

/** Quotes a word for a shell. @param {string} text */
function quoted(text) {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

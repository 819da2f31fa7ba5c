import type {Dialect} from '../core/dialect.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'

/** The format of a request body. `raw` is a google.api.HttpBody: any type, passed on unchanged. */
export type BodyForm = 'json' | 'form' | 'multipart' | 'raw'

/** What the body is read as: a single message, a client stream, or a google.api.HttpBody. */
export type BodyReader = 'message' | 'stream' | 'raw'

const json = {type: 'application/json', form: 'json'} as const

/** The formats that each reader accepts (our decision). */
const taken = {
  message: [
    json,
    {type: 'application/x-www-form-urlencoded', form: 'form'},
    {type: 'multipart/form-data', form: 'multipart'},
  ],
  stream: [json, {type: 'application/x-ndjson', form: 'json'}],
  raw: [],
} as const satisfies Record<BodyReader, readonly {type: string; form: BodyForm}[]>

/**
 * The format of a body with this Content-Type. Without one it is JSON.
 * @throws {Fault} 415 for a type or charset that `reader` does not accept
 */
export function bodyForm(contentType: string | undefined, reader: BodyReader): BodyForm {
  if (reader === 'raw') return 'raw'
  const form = formOf(contentType, reader)
  if (form) return form
  const accepted = taken[reader].map((candidate) => candidate.type).join(', ')
  throw Fault.invalid(
    'content-type',
    `Cannot read a body of type "${shortened(contentType ?? '')}": expected ${accepted}, in UTF-8`,
    {http: 415, headers: {accept: accepted}},
  )
}

/** Whether a body with this Content-Type is JSON. Without one it is. */
export function isJson(contentType: string | undefined): boolean {
  return formOf(contentType, 'message') === 'json'
}

/** Whether a body with this Content-Type is a form (`application/x-www-form-urlencoded`). */
export function isForm(contentType: string | undefined): boolean {
  return contentType !== undefined && formOf(contentType, 'message') === 'form'
}

function formOf(contentType: string | undefined, reader: 'message' | 'stream'): BodyForm | undefined {
  if (contentType === undefined || contentType.trim() === '') return 'json'
  const [type, ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase())
  const found = taken[reader].find((candidate) => candidate.type === type)
  return found && parameters.every(isUtf8) ? found.form : undefined
}

function isUtf8(parameter: string): boolean {
  return !parameter.startsWith('charset=') || /^charset="?utf-?8"?$/.test(parameter)
}

/** The media types of a streamed answer, the default first (our decision). */
export const streamTypes = ['application/x-ndjson', 'application/json', 'text/event-stream'] as const
export type StreamType = (typeof streamTypes)[number]

/** The media types of a streamed answer by dialect, the default first. */
export const offered = {
  ndjson: streamTypes,
  array: ['application/json', 'application/x-ndjson', 'text/event-stream'],
  lines: ['application/json', 'application/x-ndjson', 'text/event-stream'],
} as const satisfies Record<Dialect['streams'], readonly StreamType[]>

/** The media types of a single answer. */
export const unaryTypes = ['application/json'] as const

/**
 * The media type of `offered` that `accept` prefers (RFC 9110, 12.5.1): by q, then by the more specific range, then in the order of
 * `offered`. The first one when there is no `accept`.
 *
 * Not by the package negotiator: for it, `application/json; charset=utf-8` does not match `application/json`.
 * @throws {Fault} 406 when it accepts none of them
 */
export function negotiate<Type extends string>(accept: string | undefined, offered: readonly Type[]): Type {
  // Members of a list may be empty (RFC 9110, 5.6.1.2).
  const ranges = accept
    ?.split(',')
    .filter((text) => text.trim() !== '')
    .map(readRange)
  if (!ranges?.length) return offered[0]!
  let best: {type: Type; q: number; rank: number} | undefined
  for (const type of offered) {
    const {q, rank} = preference(ranges, type)
    if (q > 0 && (!best || q > best.q || (q === best.q && rank > best.rank))) best = {type, q, rank}
  }
  if (best) return best.type
  throw Fault.invalid('accept', `Cannot answer as "${shortened(accept!)}": it can be ${offered.join(', ')}`, {
    http: 406,
  })
}

interface Range {
  type: string
  q: number
}

function readRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
  if (q === undefined) return {type, q: 1}
  return {type, q: /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(q) ? Number(q) : 0}
}

/** The q of the most specific range that matches `type`, and how specific it is: -1 for no match, up to 2. */
function preference(ranges: readonly Range[], type: string): {q: number; rank: number} {
  const covers = ['*/*', `${type.slice(0, type.indexOf('/'))}/*`, type]
  let found = {q: 0, rank: -1}
  for (const range of ranges) {
    const rank = covers.indexOf(range.type)
    if (rank > found.rank || (rank === found.rank && rank >= 0 && range.q > found.q)) found = {q: range.q, rank}
  }
  return found
}

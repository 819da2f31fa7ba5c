import type {Dialect} from '../core/dialect.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'

/** How the body of a request is written. `raw` is a google.api.HttpBody: any type, taken as it is. */
export type BodyForm = 'json' | 'form' | 'multipart' | 'raw'

/** Who reads a body: a single message, a client stream, or a google.api.HttpBody. */
export type BodyReader = 'message' | 'stream' | 'raw'

const json = {type: 'application/json', form: 'json'} as const

/** What each reader takes (our decision). */
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
 * The form of a body with this Content-Type; none at all means JSON.
 * @throws {Fault} 415 for a type or charset that `reader` does not take.
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

/** Whether a body with this Content-Type is JSON, as one with none is. */
export function isJson(contentType: string | undefined): boolean {
  return formOf(contentType, 'message') === 'json'
}

/** Whether a body with this Content-Type is a form of `name=value` pairs. */
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

/** The media types that a server stream is answered in, the default first. Our decision. */
export const streamTypes = ['application/x-ndjson', 'application/json', 'text/event-stream'] as const
export type StreamType = (typeof streamTypes)[number]

/** What a stream is answered in, the default first. */
export const offered = {
  ndjson: streamTypes,
  array: ['application/json', 'application/x-ndjson', 'text/event-stream'],
  lines: ['application/json', 'application/x-ndjson', 'text/event-stream'],
} as const satisfies Record<Dialect['streams'], readonly StreamType[]>

/** The media types of a single answer. */
export const unaryTypes = ['application/json'] as const

/**
 * The media type of `offered` that `accept` prefers (RFC 9110, 12.5.1): by q, then by how exactly it is named, then in
 * the order of `offered`. The first one when there is no `accept`.
 *
 * Not by the package negotiator: to it `application/json; charset=utf-8` does not accept `application/json`.
 * @throws {Fault} 406 when it takes none of them.
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

/** What the most exact range that covers `type` says. */
function preference(ranges: readonly Range[], type: string): {q: number; rank: number} {
  const covers = ['*/*', `${type.slice(0, type.indexOf('/'))}/*`, type]
  let found = {q: 0, rank: -1}
  for (const range of ranges) {
    const rank = covers.indexOf(range.type)
    if (rank > found.rank || (rank === found.rank && rank >= 0 && range.q > found.q)) found = {q: range.q, rank}
  }
  return found
}

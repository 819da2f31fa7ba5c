import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import type {Scope} from '../http/scope.ts'
import {decodeUtf8, parseJson} from '../transcoding/json/text.ts'

/** The Pub/Sub message that contained an event. */
export interface PubsubMessage {
  readonly messageId: string
  /** In the format of RFC 3339. */
  readonly publishTime: string | undefined
  readonly orderingKey: string | undefined
  readonly attributes: Readonly<Record<string, string>>
  /** `projects/P/subscriptions/S` */
  readonly subscription: string
}

/** An event: the attributes of CloudEvents 1.0, and its data. */
export interface CloudEvent<T = unknown> {
  /** Unique together with `source`. A duplicate of an event has the same two values. */
  readonly id: string
  readonly source: string
  /** For example `google.cloud.storage.object.v1.finalized`. */
  readonly type: string
  readonly subject: string | undefined
  /** In the format of RFC 3339. */
  readonly time: string | undefined
  readonly dataContentType: string | undefined
  readonly dataSchema: string | undefined
  /** Extension attributes of CloudEvents, such as `bucket`, as text. */
  readonly extensions: Readonly<Record<string, string>>
  /** The Pub/Sub message that contained the event; undefined for other events. */
  readonly message: PubsubMessage | undefined
  readonly data: T
}

/** An event whose data has not been decoded. */
export type RawEvent = Omit<CloudEvent, 'data'> & {readonly bytes: Uint8Array}

/** The format of a request with an event: binary or structured mode (CloudEvents HTTP binding, 3.1 and 3.2), or a Pub/Sub push. */
type Form = 'binary' | 'structured' | 'push'

/**
 * The format of the event in a request.
 * @throws {Fault} 415 for a request without an event
 */
export function formOf({headers, contentType = ''}: Pick<Scope, 'headers' | 'contentType'>): Form {
  const [type = ''] = contentType.toLowerCase().split(';', 1)
  if (type.trim() === 'application/cloudevents+json') return 'structured'
  if (headers['ce-id'] !== undefined || headers['ce-specversion'] !== undefined) return 'binary'
  if (type.trim() === 'application/json') return 'push'
  throw new Fault(
    'INVALID_ARGUMENT',
    'Cannot read an event: expected the headers ce-id, ce-source, ce-type and ce-specversion, the type application/cloudevents+json, or a push of Pub/Sub',
    {http: 415},
  )
}

/** An event in binary mode: its attributes are headers, its data is the body. @throws {Fault} 400 */
export function binaryEvent(headers: Scope['headers'], contentType: string | undefined, bytes: Uint8Array): RawEvent {
  const named = Object.entries(headers).filter(([name]) => name.startsWith('ce-'))
  const attributes = Object.fromEntries(named.map(([name, value]) => [name.slice('ce-'.length), unescaped(`${value}`)]))
  return eventWith({...attributes, datacontenttype: contentType}, bytes)
}

/** An event in structured mode, as JSON. @throws {Fault} 400 */
export function structuredEvent(bytes: Uint8Array): RawEvent {
  const {data, data_base64: base64, ...attributes} = objectIn(bytes, 'an event')
  const isText = (value: unknown) => ['string', 'number', 'boolean', 'bigint'].includes(typeof value)
  const texts = Object.entries(attributes).filter(([, value]) => isText(value))
  const all: Attributes = Object.fromEntries(texts.map(([name, value]) => [name, String(value)]))
  if (base64 !== undefined) return eventWith(all, bytesIn(base64, 'data_base64'))
  // JSON data is embedded directly. Data of another type is text in a JSON string (CloudEvents JSON format, 3.1).
  const isRaw = typeof data === 'string' && !isJson(all.datacontenttype)
  return eventWith(all, Buffer.from(data === undefined ? '' : isRaw ? data : jsonOf(data)))
}

/** Whether data of this type is JSON. Without a type it is. */
export function isJson(contentType = 'application/json'): boolean {
  return /^\s*[\w.+-]+\/(?:[\w.+-]*\+)?json\s*(?:;|$)/i.test(contentType)
}

/** Whether data of this type is a message in the protobuf wire format. */
export function isProtobuf(contentType = ''): boolean {
  return /^\s*application\/(?:x-|vnd\.google\.)?protobuf\s*(?:;|$)/i.test(contentType)
}

type Attributes = Readonly<Record<string, string | undefined>>

/** @throws {Fault} 400 for invalid attributes */
export function eventWith(attributes: Attributes, bytes: Uint8Array, message?: PubsubMessage): RawEvent {
  const {id, source, type, subject, time, specversion, datacontenttype, dataschema, ...others} = attributes
  if (specversion !== '1.0') {
    const got = specversion === undefined ? 'none' : `"${shortened(specversion)}"`
    throw Fault.invalid('specversion', 'Cannot read the event: expected version 1.0 of CloudEvents', {
      callerOnly: `, got ${got}`,
    })
  }
  for (const [name, value] of Object.entries({id, source, type})) {
    if (!value) throw Fault.invalid(name, `Cannot read the event: its "${name}" is missing`)
  }
  const extensions = Object.entries(others).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return {
    ...{id: id!, source: source!, type: type!, subject, time, message, bytes},
    dataContentType: datacontenttype,
    dataSchema: dataschema,
    extensions: Object.fromEntries(extensions),
  }
}

/** @throws {Fault} 400 unless the bytes are a JSON object */
export function objectIn(bytes: Uint8Array, what: string): Readonly<Record<string, unknown>> {
  const value = parseJson(decodeUtf8(bytes))
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw Fault.invalid('body', `Cannot read the body: expected ${what}, a JSON object`)
}

/** @throws {Fault} 400 unless the value is base64 */
export function bytesIn(value: unknown, field: string): Uint8Array {
  if (typeof value === 'string' && /^[\w+/-]*={0,2}$/.test(value)) return Buffer.from(value, 'base64')
  throw Fault.invalid(field, `Cannot read "${field}": expected base64`)
}

/** Writes JSON in which integers keep all of their digits. */
function jsonOf(value: unknown): string {
  const {rawJSON} = JSON as unknown as {rawJSON(text: string): unknown}
  return JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? rawJSON(String(item)) : item))
}

/**
 * Decodes a header, in which characters that are not printable, and `"` and `%`, are percent-encoded (HTTP binding, 3.1.3.2). Senders
 * of older versions write text in double quotes, which are removed first.
 */
function unescaped(value: string): string {
  const text = quoted.test(value) ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A quoted-string (RFC 9110 5.6.4). */
const quoted = /^"(?:[^"\\]|\\.)*"$/

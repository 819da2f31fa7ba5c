import {Fault} from '../core/fault.ts'
import {bytesIn, eventWith, objectIn, type PubsubMessage, type RawEvent, structuredEvent} from './cloud-event.ts'

/** The type of the events that Eventarc makes from Pub/Sub messages. */
export const messagePublished = 'google.cloud.pubsub.topic.v1.messagePublished'

/** The event type for each `eventType` of a Storage notification. */
const storageTypes: ReadonlyMap<string, string> = new Map([
  ['OBJECT_FINALIZE', 'google.cloud.storage.object.v1.finalized'],
  ['OBJECT_DELETE', 'google.cloud.storage.object.v1.deleted'],
  ['OBJECT_ARCHIVE', 'google.cloud.storage.object.v1.archived'],
  ['OBJECT_METADATA_UPDATE', 'google.cloud.storage.object.v1.metadataUpdated'],
])

type Json = Readonly<Record<string, unknown>>

/**
 * Converts a Pub/Sub push to an event, in the same way as Eventarc.
 * @throws {Fault} 400 for a body that is not a push
 */
export function pushedEvent(body: Uint8Array): RawEvent {
  const {message} = envelopeIn(body)
  const {messageId: id, publishTime: time, subscription} = message
  const source = `//pubsub.googleapis.com/${subscription}`
  const attributes = {specversion: '1.0', id, source, type: messagePublished, time, datacontenttype: 'application/json'}
  return eventWith(attributes, body)
}

/**
 * Unwraps the event in the message of a messagePublished event: a CloudEvent (Pub/Sub binding), or a Storage notification. If the
 * message contains no event, returns the event itself, with its message.
 * @throws {Fault} 400 for an event without a message
 */
export function unwrapped(event: RawEvent): RawEvent & {readonly payload?: Payload} {
  if (event.type !== messagePublished) return event
  const {message, payload} = envelopeIn(event.bytes)
  const {attributes} = message
  const contentType = attributes['content-type'] ?? attributes['Content-Type']
  if (/^application\/cloudevents\+json\b/i.test(contentType ?? '')) return {...structuredEvent(payload), message}
  if (attributes['ce-id'] !== undefined && attributes['ce-type'] !== undefined) {
    const named = Object.entries(attributes).filter(([name]) => name.startsWith('ce-'))
    const own = Object.fromEntries(named.map(([name, value]) => [name.slice('ce-'.length), value]))
    return eventWith({...own, datacontenttype: contentType}, payload, message)
  }
  const type = storageTypes.get(attributes.eventType ?? '')
  if (type && attributes.bucketId !== undefined) return notification(type, message, payload)
  // A topic with a schema says how its messages are encoded.
  const isBinary = attributes.googclient_schemaencoding === 'BINARY'
  return {...event, message, payload: {bytes: payload, contentType: isBinary ? 'application/protobuf' : contentType}}
}

/** The data of a message that contains no event. */
export interface Payload {
  readonly bytes: Uint8Array
  readonly contentType: string | undefined
}

/** The event of a Storage notification. The object is in the payload, or only named by attributes (payload format NONE). */
function notification(type: string, message: PubsubMessage, payload: Uint8Array): RawEvent {
  const {bucketId: bucket = '', objectId: name = '', objectGeneration: generation, payloadFormat} = message.attributes
  const isWhole = payloadFormat === 'JSON_API_V1' && payload.length > 0
  return eventWith(
    {
      specversion: '1.0',
      id: message.messageId,
      source: `//storage.googleapis.com/projects/_/buckets/${bucket}`,
      type,
      subject: `objects/${name}`,
      time: message.attributes.eventTime ?? message.publishTime,
      datacontenttype: 'application/json',
      bucket,
    },
    isWhole ? payload : Buffer.from(JSON.stringify({bucket, name, generation})),
    message,
  )
}

interface Envelope {
  readonly message: PubsubMessage
  readonly payload: Uint8Array
}

/** `{"message": {"messageId", "data"?, "attributes"?, …}, "subscription"}` @throws {Fault} 400 for anything else */
function envelopeIn(body: Uint8Array): Envelope {
  const {message, subscription} = objectIn(body, 'a push of Pub/Sub')
  if (typeof message !== 'object' || message === null || typeof subscription !== 'string') {
    throw Fault.invalid('body', 'Cannot read the body: expected a push of Pub/Sub, with "message" and "subscription"')
  }
  const {
    messageId,
    message_id: other,
    publishTime,
    publish_time: otherTime,
    orderingKey,
    data,
    attributes,
  } = message as Json
  const id = messageId ?? other
  if (typeof id !== 'string') throw Fault.invalid('message.messageId', 'Field "message.messageId" is missing')
  const given = typeof attributes === 'object' && attributes !== null ? Object.entries(attributes) : []
  return {
    message: {
      messageId: id,
      publishTime: textOf(publishTime ?? otherTime),
      orderingKey: textOf(orderingKey),
      attributes: Object.fromEntries(given.map(([name, value]) => [name, String(value)])),
      subscription,
    },
    payload: data === undefined ? new Uint8Array() : bytesIn(data, 'message.data'),
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

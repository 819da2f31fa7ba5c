import {randomUUID} from 'node:crypto'
import {setTimeout as pause} from 'node:timers/promises'
import type {ObjectMetadata} from './resource.ts'

/** The format of event requests: that of Eventarc, in one of CloudEvents' two modes, or a Pub/Sub push. */
export type EventForm = 'binary' | 'structured' | 'push'

/** A subscriber to events of finalized objects. */
export interface Subscription {
  /** The URL that receives events. */
  readonly url: string
  /** The bucket; all buckets unless given. */
  readonly bucket?: string
  /** `binary` unless given. */
  readonly form?: EventForm
  /** Gives the headers of each attempt, for example with a token. */
  readonly headers?: () => Promise<Readonly<Record<string, string>>>
  /** Pause before the second attempt, in ms: 1000 unless given. It doubles with each further attempt. */
  readonly retryAfter?: number
  /** Number of attempts before an event becomes a dead letter: 5 unless given. */
  readonly maxAttempts?: number
}

/** One attempt to deliver an event. */
export interface Delivery {
  readonly event: ObjectEvent
  /** From 1 on. */
  readonly attempt: number
  /** The HTTP status; undefined without an answer. */
  readonly status: number | undefined
  readonly text: string
}

/** An event of an object. */
export interface ObjectEvent {
  readonly id: string
  readonly time: string
  readonly object: ObjectMetadata
}

const finalized = 'google.cloud.storage.object.v1.finalized'
const limit = 10_000

/** The statuses that Pub/Sub treats as an acknowledgement. After others the event is sent again. */
const acknowledged: ReadonlySet<number | undefined> = new Set([102, 200, 201, 202, 204])

/** Delivers the events of one subscription at least once, until each is acknowledged or becomes a dead letter. */
export class Notifications implements AsyncDisposable {
  /** The last 10,000 attempts, in the order in which they ended. */
  readonly deliveries: Delivery[] = []
  /** The dead letters: events that were never acknowledged. */
  readonly deadLetters: ObjectEvent[] = []
  readonly #subscription: Subscription
  readonly #end = new AbortController()
  readonly #open = new Set<Promise<void>>()
  #takers: ((delivery: Delivery) => void)[] = []

  constructor(subscription: Subscription) {
    this.#subscription = subscription
  }

  /** Resolves with the next attempt that ends. */
  next(): Promise<Delivery> {
    return new Promise((resolve) => this.#takers.push(resolve))
  }

  /** Sends an event of `object`, if the subscription includes its bucket. */
  tell(object: ObjectMetadata): void {
    const {bucket} = this.#subscription
    if (this.#end.signal.aborted) return
    if (bucket === undefined || bucket === object.bucket) this.send(newEvent(object))
  }

  /** Sends `event`; one that was sent before is a duplicate. */
  send(event: ObjectEvent): void {
    const work = this.#deliver(event)
    this.#open.add(work)
    work.finally(() => this.#open.delete(work))
  }

  /** Resolves when every event is acknowledged or a dead letter. */
  async idle(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open)
  }

  /** Cancels requests in progress. */
  async close(): Promise<void> {
    this.#end.abort()
    await this.idle()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #deliver(event: ObjectEvent): Promise<void> {
    const {retryAfter = 1000, maxAttempts = 5} = this.#subscription
    const {signal} = this.#end
    for (let attempt = 1; attempt <= maxAttempts && !signal.aborted; attempt++) {
      const {status, text} = await this.#attempt(event)
      if (signal.aborted) return
      const delivery = {event, attempt, status, text}
      this.deliveries.push(delivery)
      if (this.deliveries.length > limit) this.deliveries.shift()
      this.#takers.shift()?.(delivery)
      if (acknowledged.has(status)) return
      if (attempt < maxAttempts) await pause(retryAfter * 2 ** (attempt - 1), undefined, {signal}).catch(() => {})
    }
    if (!signal.aborted) this.deadLetters.push(event)
  }

  async #attempt(event: ObjectEvent): Promise<Pick<Delivery, 'status' | 'text'>> {
    const {url, form = 'binary', headers: more} = this.#subscription
    const {headers, body} = requests[form](event)
    try {
      const all = {...headers, ...(await more?.())}
      const response = await fetch(url, {method: 'POST', headers: all, body, signal: this.#end.signal})
      return {status: response.status, text: await response.text()}
    } catch (error) {
      return {status: undefined, text: String(error)}
    }
  }
}

/** A new event of `object`. */
export function newEvent(object: ObjectMetadata): ObjectEvent {
  return {id: randomUUID(), time: object.updated, object}
}

interface EventRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const requests: Readonly<Record<EventForm, (event: ObjectEvent) => EventRequest>> = {
  binary(event) {
    const attributes = Object.entries(attributesOf(event)).map(([name, value]) => [`ce-${name}`, escaped(value)])
    const headers = {...Object.fromEntries(attributes), 'content-type': 'application/json'}
    return {headers, body: JSON.stringify(event.object)}
  },
  structured(event) {
    const {object: data} = event
    const body = JSON.stringify({...attributesOf(event), datacontenttype: 'application/json', data})
    return {headers: {'content-type': 'application/cloudevents+json; charset=utf-8'}, body}
  },
  push({id, time, object}) {
    const attributes = {
      eventType: 'OBJECT_FINALIZE',
      payloadFormat: 'JSON_API_V1',
      bucketId: object.bucket,
      objectId: object.name,
      objectGeneration: object.generation,
      eventTime: time,
      notificationConfig: `projects/_/buckets/${object.bucket}/notificationConfigs/1`,
    }
    const data = Buffer.from(JSON.stringify(object)).toString('base64')
    // Pub/Sub writes both names of each field.
    const message = {attributes, data, messageId: id, message_id: id, publishTime: time, publish_time: time}
    const body = JSON.stringify({message, subscription: 'projects/local/subscriptions/storage'})
    return {headers: {'content-type': 'application/json'}, body}
  },
}

/** The attributes that Eventarc gives an event of Storage. */
function attributesOf({id, time, object: {bucket, name}}: ObjectEvent): Record<string, string> {
  const source = `//storage.googleapis.com/projects/_/buckets/${bucket}`
  return {specversion: '1.0', id, source, type: finalized, subject: `objects/${name}`, time, bucket}
}

/** Encodes a header: characters outside of printable ASCII, and `"` and `%`, are percent-encoded (CloudEvents' HTTP binding, 3.1.3.2). */
function escaped(value: string): string {
  return value.replace(/[^ !#$&-~]/gu, encodeURIComponent)
}

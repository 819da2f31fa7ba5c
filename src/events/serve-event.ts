import {createRegistry, type DescMessage, fromBinary, type MessageShape} from '@bufbuild/protobuf'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {only} from '../http/request/methods.ts'
import {failureJson, httpStatusOf} from '../http/response/failure.ts'
import {json, type Reply} from '../http/response/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {asRead, messageFromJson, recursionLimit} from '../transcoding/json/message.ts'
import {decodeUtf8, parseJson} from '../transcoding/json/text.ts'
import {checkWire} from '../transcoding/rpc/wire-check.ts'
import {ValueCount} from '../transcoding/value-count.ts'
import {
  binaryEvent,
  type CloudEvent,
  formOf,
  isJson,
  isProtobuf,
  type RawEvent,
  structuredEvent,
} from './cloud-event.ts'
import {type Payload, pushedEvent, unwrapped} from './pubsub.ts'
import {isTransient} from './transient.ts'

export type {CloudEvent, PubsubMessage} from './cloud-event.ts'

/**
 * Handles an event. When it returns, the event is acknowledged: with its reply, if it gives one, or else with 204. When it
 * throws a transient failure, the event is sent again. When it throws a permanent one, a Fault such as INVALID_ARGUMENT, the
 * event is acknowledged, and the log has the error.
 */
export type EventHandler<T> = (
  event: CloudEvent<T>,
  scope: Scope,
) => Promise<Reply | undefined> | Promise<void> | Reply | undefined

/** Options of an event function. */
export interface EventOptions<T> {
  /** Limit for the body of a request, in bytes: 1 MiB unless given. A push of Pub/Sub has up to 14 MB. */
  readonly maxBytes?: number
  /**
   * Key of an event: two events with one key are not handled at the same time, and the second gets 503. `source` and `id` unless
   * given. It holds within an instance; across instances the backend has to see to it.
   */
  readonly key?: (event: CloudEvent<T>) => string
}

/** Retry-After for a duplicate of an event that is being handled, in seconds. */
const duplicateRetryAfter = 10

/**
 * A function for events: CloudEvents from Eventarc, binary or structured, and Pub/Sub pushes. It is an HTTP function like all others,
 * with the same request context and deadline. All work that the scope tracks has ended when the event is acknowledged.
 *
 * With a schema the data of an event is a message, decoded from JSON or protobuf by its content type. For an event that is a Pub/Sub
 * message, it is the data of that message. Without a schema the data is a JSON value, in which integers that a double would round are
 * bigints, or bytes if it is not JSON.
 * @param schema the generated type of the data
 * @example
 * import {serveEvent, StorageObjectDataSchema} from 'grpc-functions/events'
 *
 * register(runtime, {
 *   onFile: () =>
 *     serveEvent(StorageObjectDataSchema, async ({data}, scope) => {
 *       scope.log.info(`gs://${data.bucket}/${data.name} is there`)
 *     }),
 * })
 */
export function serveEvent<Desc extends DescMessage>(
  schema: Desc,
  handler: EventHandler<MessageShape<Desc>>,
  options?: EventOptions<MessageShape<Desc>>,
): Handler
export function serveEvent(handler: EventHandler<unknown>, options?: EventOptions<unknown>): Handler
export function serveEvent(...args: unknown[]): Handler {
  const schema = typeof args[0] === 'function' ? undefined : (args.shift() as DescMessage)
  const [handler, options = {}] = args as [EventHandler<unknown>, EventOptions<unknown>?]
  const {key = ({source, id}: CloudEvent) => `${source} ${id}`} = options
  const read = readerOf(schema)
  const inProgress = new Set<string>()

  return only(['POST'], async (scope) => {
    let raw: WithPayload = await rawEvent(scope, options.maxBytes)
    try {
      raw = unwrapped(raw)
      const event = {...raw, data: read(raw)}
      scope.hold(0)
      return await exclusively(inProgress, key(event), async () => (await handler(event, scope)) ?? {status: 204})
    } catch (error) {
      const fault = Fault.from(error)
      if (scope.signal.aborted || isTransient(fault)) throw retryable(fault)
      return givenUp(scope, raw, fault)
    } finally {
      scope.note({event: eventFields(raw)})
    }
  })
}

/** @throws {Fault} 400 or 415 for a request without a valid event, which is not acknowledged */
async function rawEvent(scope: Scope, limit: number | undefined): Promise<RawEvent> {
  const form = formOf(scope)
  const bytes = await scope.bytes(limit)
  if (form === 'structured') return structuredEvent(bytes)
  return form === 'push' ? pushedEvent(bytes) : binaryEvent(scope.headers, scope.contentType, bytes)
}

type WithPayload = RawEvent & {readonly payload?: Payload}

/** Makes the decoder of an event's data. It throws a Fault, INVALID_ARGUMENT, for invalid data. */
function readerOf(schema: DescMessage | undefined) {
  if (!schema) {
    return ({bytes, dataContentType}: RawEvent): unknown => {
      if (!isJson(dataContentType)) return bytes
      return bytes.length === 0 ? undefined : parseJson(decodeUtf8(bytes))
    }
  }
  // Google may add fields to events at any time.
  const options = {registry: createRegistry(schema.file), ignoreUnknown: true}
  return ({bytes, dataContentType, payload}: WithPayload): unknown => {
    const {bytes: data, contentType: type} = payload ?? {bytes, contentType: dataContentType}
    if (isJson(type)) return messageFromJson(schema, data, options)
    if (!isProtobuf(type))
      throw Fault.invalid(
        'datacontenttype',
        'Cannot read the data of the event: expected JSON, or application/protobuf',
      )
    checkWire(schema, data, new ValueCount())
    return asRead(() => fromBinary(schema, data, {recursionLimit}))
  }
}

/** Does `work`, unless other work with this key is in progress. @throws {Fault} UNAVAILABLE if it is */
async function exclusively<T>(inProgress: Set<string>, key: string, work: () => Promise<T>): Promise<T> {
  if (inProgress.has(key)) {
    throw new Fault('UNAVAILABLE', 'The same event is being handled: try again', {
      reason: 'EVENT_IN_PROGRESS',
      retryAfter: duplicateRetryAfter,
    })
  }
  inProgress.add(key)
  try {
    return await work()
  } finally {
    inProgress.delete(key)
  }
}

/** Gives `fault` a status that every sender retries: some retry only 429 and 5xx. */
function retryable(fault: Fault): Fault {
  const status = httpStatusOf(fault)
  if (status >= 500 || status === 429) return fault
  const {code, details, hint, cause = fault, logMessage} = fault
  return new Fault(code, logMessage, {details: [...details], http: 503, cause, ...(hint && {hint})})
}

/** Acknowledges an event that failed permanently, because it would fail again. */
function givenUp({log}: Scope, raw: RawEvent, fault: Fault): Reply {
  const {code, cause, hint, logMessage} = fault
  const event = eventFields(raw)
  log.error({err: cause, hint, event}, `Given up: event "${event.id}" of ${event.source}: ${code}: ${logMessage}`)
  return json(failureJson(fault, 'aip'))
}

/** The fields that identify an event in the log, shortened. */
function eventFields({id, source, type}: RawEvent): {
  readonly id: string
  readonly source: string
  readonly type: string
} {
  return {id: shortened(id), source: shortened(source), type: shortened(type)}
}

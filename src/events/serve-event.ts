import {createRegistry, type DescMessage, fromBinary, type MessageShape} from '@bufbuild/protobuf'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {failureJson, httpStatusOf} from '../http/failure.ts'
import {only} from '../http/methods.ts'
import {json, type Reply} from '../http/reply.ts'
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
import {mayPass} from './may-pass.ts'
import {type Payload, pushedEvent, unwrapped} from './pubsub.ts'

export type {CloudEvent, PubsubMessage} from './cloud-event.ts'

/**
 * What is done for an event. When it returns, the event is acknowledged: with its reply, if it gives one, or else with 204.
 * When it throws a Fault that may pass, the event is sent again; with one that is for ever it is acknowledged, and the
 * log says that it was given up.
 */
export type EventHandler<T> = (
  event: CloudEvent<T>,
  scope: Scope,
) => Promise<Reply | undefined> | Promise<void> | Reply | undefined

/** How events are taken. */
export interface EventOptions<T> {
  /** Limit for the body of a request, in bytes: 1 MiB unless given. A push of Pub/Sub has up to 14 MB. */
  readonly maxBytes?: number
  /**
   * What two events share that must not be worked on at the same time: `source` and `id` unless given. The second is told
   * to come again. It holds in one instance: across instances the backend has to see to it.
   */
  readonly key?: (event: CloudEvent<T>) => string
}

/** After how many seconds a duplicate may come again. */
const comeAgain = 10

/**
 * A function for events: CloudEvents of Eventarc, binary or structured, and pushes of Pub/Sub. It is an HTTP function like
 * all others: the same life, the same deadline; all that the scope tracks has ended when the event is acknowledged.
 *
 * With a schema the data of an event is a message, read from JSON or from protobuf, as its type says; of an event that
 * Pub/Sub's message is, the message's data.
 * Without, it is what JSON gives (integers that a double would round as bigints), or bytes where it is no JSON.
 * @param schema the type of the data, as it is generated
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
  const working = new Set<string>()

  return only(['POST'], async (scope) => {
    let raw: WithPayload = await rawEvent(scope, options.maxBytes)
    try {
      raw = unwrapped(raw)
      const event = {...raw, data: read(raw)}
      scope.hold(0)
      return await alone(working, key(event), async () => (await handler(event, scope)) ?? {status: 204})
    } catch (error) {
      const fault = Fault.from(error)
      if (scope.signal.aborted || mayPass(fault)) throw repeatable(fault)
      return givenUp(scope, raw, fault)
    } finally {
      scope.note({event: told(raw)})
    }
  })
}

/** @throws {Fault} 400 or 415 for what is no event: nobody acknowledges that */
async function rawEvent(scope: Scope, limit: number | undefined): Promise<RawEvent> {
  const form = formOf(scope)
  const bytes = await scope.bytes(limit)
  if (form === 'structured') return structuredEvent(bytes)
  return form === 'push' ? pushedEvent(bytes) : binaryEvent(scope.headers, scope.contentType, bytes)
}

type WithPayload = RawEvent & {readonly payload?: Payload}

/** Makes the function that reads an event's data. It throws a Fault, INVALID_ARGUMENT, for data that is not what is expected. */
function readerOf(schema: DescMessage | undefined) {
  if (!schema) {
    return ({bytes, dataContentType}: RawEvent): unknown => {
      if (!isJson(dataContentType)) return bytes
      return bytes.length === 0 ? undefined : parseJson(decodeUtf8(bytes))
    }
  }
  // Events get new fields at any time.
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

/** @throws {Fault} UNAVAILABLE while another one with this key is worked on */
async function alone<T>(working: Set<string>, key: string, work: () => Promise<T>): Promise<T> {
  if (working.has(key)) {
    throw new Fault('UNAVAILABLE', 'The same event is being worked on: come again later', {
      reason: 'EVENT_AT_WORK',
      retryAfter: comeAgain,
    })
  }
  working.add(key)
  try {
    return await work()
  } finally {
    working.delete(key)
  }
}

/** `fault` with a status for which every sender sends again: some take others than 429 and 5xx for final. */
function repeatable(fault: Fault): Fault {
  const status = httpStatusOf(fault)
  if (status >= 500 || status === 429) return fault
  const {code, details, hint, cause = fault, logMessage} = fault
  return new Fault(code, logMessage, {details: [...details], http: 503, cause, ...(hint && {hint})})
}

/** Acknowledges an event that can never be done: sent again, it would fail again. */
function givenUp({log}: Scope, raw: RawEvent, fault: Fault): Reply {
  const {code, cause, hint, logMessage} = fault
  const event = told(raw)
  log.error({err: cause, hint, event}, `Given up: event "${event.id}" of ${event.source}: ${code}: ${logMessage}`)
  return json(failureJson(fault, 'aip'))
}

/** What the log says of an event. */
function told({id, source, type}: RawEvent): {readonly id: string; readonly source: string; readonly type: string} {
  return {id: shortened(id), source: shortened(source), type: shortened(type)}
}

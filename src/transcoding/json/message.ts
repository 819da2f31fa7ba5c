import {create, createRegistry, type DescMessage, fromJson, type JsonValue, type MessageShape} from '@bufbuild/protobuf'
import {Fault} from '../../core/fault.ts'
import {ValueCount} from '../value-count.ts'
import {fitMessage, type JsonOptions} from './fit.ts'
import {decodeUtf8, isBlank, parseJson} from './text.ts'

/** Nesting limit for protobuf-es. parseJson() has enforced 100 levels already, some of which protobuf-es counts twice. */
export const recursionLimit = 500

const strict: JsonOptions = {registry: createRegistry(), ignoreUnknown: false}

/**
 * Decodes a body by proto3's JSON mapping. An empty body, or one of only white space, is the empty message.
 * @throws {Fault} 400 naming the malformed field, or `body`
 */
export function messageFromJson<Desc extends DescMessage>(
  desc: Desc,
  body: Uint8Array | string,
  options: JsonOptions = strict,
  count = new ValueCount(),
): MessageShape<Desc> {
  const text = typeof body === 'string' ? body : decodeUtf8(body)
  if (isBlank(text)) return create(desc)
  const value = jsonValue(text, count)
  const {registry, ignoreUnknown} = options
  return asRead(() => {
    const fit = fitMessage(desc, value, '', {...options, count}) as JsonValue
    return fromJson(desc, fit, {registry, ignoreUnknownFields: ignoreUnknown, recursionLimit})
  })
}

/** Parses the JSON of a body. @throws {Fault} 400 for malformed JSON, for null (our decision), and for too many values */
export function jsonValue(text: string, count: ValueCount): unknown {
  const value = parseJson(text, count)
  if (value === null) throw Fault.invalid('body', 'Cannot read the body: expected a value, got null')
  return value
}

/** Calls `read`, and turns what it throws into a Fault. */
export function asRead<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof Fault) throw error
    // The message of protobuf-es quotes the value, so it is not for the log.
    throw Fault.invalid('body', 'Cannot read the body', {callerOnly: `: ${(error as Error).message}`})
  }
}

import {create, createRegistry, type DescMessage, fromJson, type JsonValue, type MessageShape} from '@bufbuild/protobuf'
import {Fault} from '../../core/fault.ts'
import {ValueCount} from '../value-count.ts'
import {fitMessage, type JsonOptions} from './fit.ts'
import {decodeUtf8, isBlank, parseJson} from './text.ts'

/** JSON is held to 100 levels as text; of these protobuf-es counts some twice. */
export const recursionLimit = 500

const strict: JsonOptions = {registry: createRegistry(), ignoreUnknown: false}

/**
 * The message that a body is in proto3's JSON mapping; an empty body, or one of white space, is the empty message.
 * @throws {Fault} 400 that names the field which cannot be read, or `body`
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

/** @throws {Fault} 400 for what is no JSON, for null, which would say nothing (our decision), and for too many values */
export function jsonValue(text: string, count: ValueCount): unknown {
  const value = parseJson(text, count)
  if (value === null) throw Fault.invalid('body', 'Cannot read the body: expected a value, got null')
  return value
}

/** What `read` gives; what it throws is a Fault. */
export function asRead<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof Fault) throw error
    // protobuf-es quotes the value.
    throw Fault.invalid('body', 'Cannot read the body', {callerOnly: `: ${(error as Error).message}`})
  }
}

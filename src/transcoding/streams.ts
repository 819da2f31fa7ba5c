import {EventWriter, eventComment} from '../core/event-stream.ts'
import type {Fault} from '../core/fault.ts'
import type {StreamType} from './media.ts'

/**
 * Writes a stream of messages, each given as its JSON. The texts in their order are the body. A stream that fails is
 * ended by resetting the connection after the text of fail(): nothing before it is a complete success. Events that end
 * for good are not reset: what they are shows from their names.
 */
export interface StreamEncoder {
  readonly contentType: string
  next(json: string): string
  /** After the last message. */
  end(): string
  fail(fault: Fault): string
  /** What may be sent while nothing comes; empty where the format has nothing that means nothing. */
  idle(): string
}

/** The shape that a failure takes: AIP-193's, or google.rpc.Status. */
export type ErrorShape = 'aip' | 'status'

/** A writer of one stream in one of the formats. */
export function streamEncoder(type: StreamType, errors: ErrorShape = 'aip'): StreamEncoder {
  return encoders[type](errors)
}

/** The JSON text of a failed answer. */
export function errorJson(fault: Fault, errors: ErrorShape = 'aip'): string {
  return JSON.stringify(errors === 'aip' ? fault.toJSON() : fault.toStatusJson())
}

const encoders = {
  'application/json': arrayEncoder,
  'application/x-ndjson': linesEncoder,
  'text/event-stream': eventsEncoder,
} as const satisfies Record<StreamType, (errors: ErrorShape) => StreamEncoder>

/** One JSON array. A failed one is left open, and so is no JSON. */
function arrayEncoder(): StreamEncoder {
  let separator = '['
  return {
    contentType: 'application/json',
    next(json) {
      const text = `${separator}${json}`
      separator = ',\n'
      return text
    },
    end: () => (separator === '[' ? '[]' : ']'),
    fail: () => '',
    idle: () => '',
  }
}

/** One message a line; a failure is a last line of its own. */
function linesEncoder(errors: ErrorShape): StreamEncoder {
  return {
    contentType: 'application/x-ndjson',
    next: (json) => `${json}\n`,
    end: () => '',
    fail: (fault) => `${failureJson(fault, errors)}\n`,
    idle: () => '',
  }
}

/** One event a message, and one named `end` after the last; a failure is an event named `error`. */
function eventsEncoder(errors: ErrorShape): StreamEncoder {
  const events = new EventWriter()
  return {
    contentType: 'text/event-stream',
    next: (json) => events.next(json),
    end: () => events.end(),
    fail: (fault) => events.fail(fault, failureJson(fault, errors)),
    idle: () => eventComment,
  }
}

/** Within a stream a failure is told from a message by its one key, in either shape. */
function failureJson(fault: Fault, errors: ErrorShape): string {
  return errors === 'aip' ? errorJson(fault) : `{"error":${errorJson(fault, errors)}}`
}

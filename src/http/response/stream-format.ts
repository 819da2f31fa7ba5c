import type {ErrorShape} from '../../core/config.ts'
import {EventWriter, eventComment, isFinal} from '../../core/event-stream.ts'
import type {Fault} from '../../core/fault.ts'
import {failureInStream} from './failure.ts'

/**
 * Writes a stream of values, each given as its JSON. The texts in their order are the body. A stream that fails ends with
 * the text of fail(), and then the connection is cut: what was sent before it never looks like a complete success.
 */
export interface StreamWriter {
  /** @param id of an event, in formats that have ids; their number unless given */
  next(json: string, id?: string): string
  /** After the last value. */
  end(): string
  /** After the last value of a stream that failed. */
  fail(fault: Fault, shape: ErrorShape): string
  /** Keeps the connection in use between values, without a meaning; empty where the format has no such text. */
  readonly idle: string
  /** Whether the response ends as a complete one after fail(), instead of being cut; never unless given. */
  endsCleanly?(fault: Fault): boolean
}

const writers = {
  'application/json': arrayWriter,
  'application/x-ndjson': linesWriter,
  'text/event-stream': eventsWriter,
} as const satisfies Record<string, () => StreamWriter>

/** The media types that a stream can be sent in. */
export type StreamType = keyof typeof writers

/** A writer of one stream. */
export function streamWriter(type: StreamType): StreamWriter {
  return writers[type]()
}

/** One JSON array. A stream that fails leaves it open, so that it is no JSON. */
function arrayWriter(): StreamWriter {
  let separator = '['
  return {
    next(json) {
      const text = `${separator}${json}`
      separator = ',\n'
      return text
    },
    end: () => (separator === '[' ? '[]' : ']'),
    fail: () => '',
    idle: '',
  }
}

/** One value a line; a failure is a last line of its own. */
function linesWriter(): StreamWriter {
  return {
    // A line break in JSON stands between two tokens.
    next: (json) => `${/[\r\n]/.test(json) ? json.replaceAll(/[\r\n]+/g, ' ') : json}\n`,
    end: () => '',
    fail: (fault, shape) => `${failureInStream(fault, shape)}\n`,
    idle: '',
  }
}

/** One event a value, and one named `end` after the last; a failure is an event named `error`. */
function eventsWriter(): StreamWriter {
  const events = new EventWriter()
  return {
    next: (json, id) => events.next(json, id),
    end: () => events.end(),
    fail: (fault, shape) => events.fail(fault, failureInStream(fault, shape)),
    idle: eventComment,
    endsCleanly: isFinal,
  }
}

import type {ErrorShape} from '../../core/config.ts'
import {EventWriter, eventComment, isFinal} from '../../core/event-stream.ts'
import type {Fault} from '../../core/fault.ts'
import {failureInStream} from './failure.ts'

/**
 * Writes a stream of values, which are JSON texts. The returned texts, in order, are the body. A stream that fails ends with
 * the text of fail(), and then the connection is reset, so that it never looks complete.
 */
export interface StreamWriter {
  /** @param id of an event, in formats that have ids; their number unless given */
  next(json: string, id?: string): string
  /** The text after the last value. */
  end(): string
  /** The text after the last value of a stream that failed. */
  fail(fault: Fault, shape: ErrorShape): string
  /** A keep-alive between two values; empty if the format has none. */
  readonly idle: string
  /** Whether the response ends normally after fail() instead of being reset: never unless given. */
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

/** One JSON array. After an error it is left open, so that it is not valid JSON. */
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

/** One value per line. An error is a separate last line. */
function linesWriter(): StreamWriter {
  return {
    // A line break in JSON stands between two tokens.
    next: (json) => `${/[\r\n]/.test(json) ? json.replaceAll(/[\r\n]+/g, ' ') : json}\n`,
    end: () => '',
    fail: (fault, shape) => `${failureInStream(fault, shape)}\n`,
    idle: '',
  }
}

/** One event per value, and an event `end` after the last one. An error is an event `error`. */
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

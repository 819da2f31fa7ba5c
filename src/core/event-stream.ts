import type {Code, Fault} from './fault.ts'

/** Suffix of the id of a stream's last event. A browser that reconnects with such an id has the whole stream. */
const endMark = ';end'

/** A comment, which is no event and keeps the connection alive. */
export const eventComment = ':\n\n'

/**
 * Whether a retry may succeed after an error with this code. A browser retries by itself without end, so where a retry is useless it
 * must be told that the stream is over.
 * @see https://google.aip.dev/194
 */
const mayPass = {
  OK: false,
  CANCELLED: true,
  UNKNOWN: false,
  INVALID_ARGUMENT: false,
  DEADLINE_EXCEEDED: true,
  NOT_FOUND: false,
  ALREADY_EXISTS: false,
  PERMISSION_DENIED: false,
  RESOURCE_EXHAUSTED: false,
  FAILED_PRECONDITION: false,
  ABORTED: true,
  OUT_OF_RANGE: false,
  UNIMPLEMENTED: false,
  INTERNAL: false,
  UNAVAILABLE: true,
  DATA_LOSS: false,
  UNAUTHENTICATED: false,
} as const satisfies Record<Code, boolean>

/**
 * Writes one stream of server-sent events. Each has its number as id unless another id is given. The last event is `end`. Its id marks
 * the stream as complete, and so does the id of an `error` that a retry cannot cure.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export class EventWriter {
  #count = 0
  #last = '0'

  /**
   * The next event. `data` may have several lines.
   * @param id one line of text. Empty for no id: a browser then resumes after the last event that had one
   */
  next(data: string, id = String(++this.#count)): string {
    if (id === '') return `${dataLines(data)}\n`
    this.#last = id
    return `id: ${id}\n${dataLines(data)}\n`
  }

  /** The event after the last one of a complete stream. */
  end(): string {
    return `${this.#endId()}event: end\ndata: {}\n\n`
  }

  /** The event after the last one of a stream that failed. `data` is the error. */
  fail(fault: Fault, data: string): string {
    const {retryAfter} = fault
    const wait = retryAfter === undefined ? '' : `retry: ${1000 * retryAfter}\n`
    return `${isFinal(fault) ? this.#endId() : wait}event: error\n${dataLines(data)}\n`
  }

  #endId(): string {
    return `id: ${this.#last}${endMark}\n`
  }
}

/**
 * Whether a retry cannot cure `fault`. The response then has to end normally although the stream failed: when a connection is reset,
 * a busy browser drops received data that it has not read, and would not learn that it must stop.
 */
export function isFinal(fault: Fault): boolean {
  return !mayPass[fault.code] && fault.retryAfter === undefined
}

/** Whether the client with this Last-Event-ID has received its whole stream. The answer is 204 then, which stops a browser's retries. */
export function hadAllEvents(lastEventId: string | string[] | undefined): boolean {
  return String(lastEventId ?? '').endsWith(endMark)
}

function dataLines(data: string): string {
  if (!/[\r\n]/.test(data)) return `data: ${data}\n`
  const lines = data.split(/\r\n|[\r\n]/)
  return lines.map((line) => `data: ${line}\n`).join('')
}

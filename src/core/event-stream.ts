import type {Code, Fault} from './fault.ts'

/** What the id of a stream's last event ends in: a browser that connects again shows by it that nothing is left to ask for. */
const endMark = ';end'

/** A comment: keeps the connection in use, and is no event. */
export const eventComment = ':\n\n'

/**
 * Whether asking once more may mend a failure of this code. A browser asks again by itself, for ever: where that is of no
 * use, it has to be told that the stream is over.
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
 * Writes one stream of server-sent events: each has its number as id unless another one is given, and the last one is `end`.
 * The id of `end` says that all has been sent, and so does the id of an `error` that repeating cannot mend.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export class EventWriter {
  #count = 0
  #last = '0'

  /**
   * The next event. `data` may have several lines.
   * @param id text of one line; empty: none, so that a browser goes on from the last event that had one
   */
  next(data: string, id = String(++this.#count)): string {
    if (id === '') return `${dataLines(data)}\n`
    this.#last = id
    return `id: ${id}\n${dataLines(data)}\n`
  }

  /** After the last event of a stream that is complete. */
  end(): string {
    return `${this.#endId()}event: end\ndata: {}\n\n`
  }

  /** After the last event of a stream that failed; `data` says why. */
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
 * Whether repeating cannot mend `fault`. The response has to end well then, although its stream did not: when a connection
 * is cut, a browser that is busy drops what it has received and not read, and so would not learn that it is to stop.
 */
export function isFinal(fault: Fault): boolean {
  return !mayPass[fault.code] && fault.retryAfter === undefined
}

/** Whether a request with this Last-Event-ID has had all of its stream: 204 tells a browser to ask no more. */
export function hadAllEvents(lastEventId: string | string[] | undefined): boolean {
  return String(lastEventId ?? '').endsWith(endMark)
}

function dataLines(data: string): string {
  if (!/[\r\n]/.test(data)) return `data: ${data}\n`
  const lines = data.split(/\r\n|[\r\n]/)
  return lines.map((line) => `data: ${line}\n`).join('')
}

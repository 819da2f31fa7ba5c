import type {StreamType} from '../../src/transcoding/media.ts'
import type {Response} from '../http/connection.ts'

/** A strict reader of one format: returns all messages of a complete, successful response, otherwise undefined. */
type Reader = (text: string) => unknown[] | undefined

const readers = {
  'application/json'(text) {
    const value = parsed(text)
    return Array.isArray(value) ? value : undefined
  },
  'application/x-ndjson'(text) {
    const lines = text.split('\n')
    // The last line ends with a line break too.
    if (lines.pop() !== '') return undefined
    const values = lines.map(parsed)
    return values.every((value) => value !== undefined && !isError(value)) ? values : undefined
  },
  'text/event-stream'(text) {
    const events = text.split('\n\n')
    if (events.pop() !== '' || !/^id: \d+;end\nevent: end\ndata: \{\}$/.test(events.pop() ?? '')) return undefined
    const values = events.filter((event) => event !== ':').map((event) => /^id: \d+\ndata: (.*)$/.exec(event)?.[1])
    return values.every((value) => value !== undefined) ? values.map((value) => parsed(value ?? '')) : undefined
  },
} as const satisfies Record<StreamType, Reader>

/** The messages of `response` if status, framing and format all say that it is complete and successful. */
export function successOf(type: StreamType, {status, whole, text}: Response): unknown[] | undefined {
  return status === 200 && whole ? readers[type](text) : undefined
}

/** As successOf(), for a reader that ignores how the connection ended. */
export function textOf(type: StreamType, {status, text}: Pick<Response, 'status' | 'text'>): unknown[] | undefined {
  return status === 200 ? readers[type](text) : undefined
}

function isError(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'error' in value
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

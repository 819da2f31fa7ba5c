import type {StreamType} from '../../src/transcoding/media.ts'
import type {Response} from '../http/connection.ts'

/** What a strict reader of one format makes of a response: all messages of a good one, or undefined. */
type Reader = (text: string) => unknown[] | undefined

const readers = {
  'application/json'(text) {
    const value = parsed(text)
    return Array.isArray(value) ? value : undefined
  },
  'application/x-ndjson'(text) {
    const lines = text.split('\n')
    // The last line ends as all do.
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

/** The messages of `response` when all says that it is a complete success: its status, its framing and its format. */
export function successOf(type: StreamType, {status, whole, text}: Response): unknown[] | undefined {
  return status === 200 && whole ? readers[type](text) : undefined
}

/** As successOf(), by a reader who does not look at how the connection ended. */
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

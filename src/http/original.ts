import type {IncomingMessage} from 'node:http'

/** The parts of a request that are hidden from the framework: see framework/raw-requests.ts. */
export interface Original {
  readonly url: string
  readonly contentType: string | undefined
}

const originals = new WeakMap<IncomingMessage, Original>()

/** Remembers what `request` said before it was changed. */
export function keepOriginal(request: IncomingMessage, original: Original): void {
  originals.set(request, original)
}

/** The request target as it stood in the request line. */
export function urlOf(request: IncomingMessage): string {
  return originals.get(request)?.url ?? request.url ?? '/'
}

/** The request's own Content-Type. */
export function contentTypeOf(request: IncomingMessage): string | undefined {
  return originals.get(request)?.contentType ?? request.headers['content-type']
}

import type {IncomingMessage} from 'node:http'

/** The parts of a request that are hidden from the framework: see framework/raw-requests.ts. */
export interface Original {
  readonly url: string
  readonly contentType: string | undefined
}

const kept = Symbol('what a request said before it was changed')

// A property rather than a WeakMap: V8's young generation keeps all entries of a WeakMap alive, for every request.
type Changed = IncomingMessage & {[kept]?: Original}

/** Stores the original values of `request` before it is changed. */
export function keepOriginal(request: Changed, original: Original): void {
  request[kept] = original
}

/** The request target from the request line. */
export function urlOf(request: Changed): string {
  return request[kept]?.url ?? request.url ?? '/'
}

/** The request's own Content-Type. */
export function contentTypeOf(request: Changed): string | undefined {
  return request[kept]?.contentType ?? request.headers['content-type']
}

/** The kind of a request: reads metadata, reads bytes, lists, uploads, or changes (create, patch, delete, copy). */
export type RequestKind = 'metadata' | 'media' | 'list' | 'upload' | 'change'

/** Selects the requests for a fault. An omitted property matches all. */
export interface FaultFilter {
  /** Unless given, a fault of the answer is for every kind of request. A fault of the body is always for downloads. */
  kind?: RequestKind
  method?: string
  bucket?: string
  object?: string
  /** The number of matching requests that it applies to; default: 1. Infinity: all. */
  times?: number
}

/** Replaces the whole answer. */
export type AnswerFault =
  /** An error with this status. `retryAfter` is the header: seconds or a date. */
  | {status: number; retryAfter?: number | string; message?: string}
  /** Nothing is ever sent; the socket stays open until the client closes it. */
  | {stall: 'headers'}

/** Damages the body of a download. Positions are counted from the object's start, also when a range is read. */
export type BodyFault =
  /** Destroys the socket when exactly the bytes before this position have been sent. */
  | {cutAt: number}
  /** Sends nothing from this position on, and keeps the socket open. */
  | {stallAt: number}
  /** Ends the body normally, as if the object ended at this position: chunked, without Content-Length. */
  | {endAt: number}
  /** Inverts the byte at this position, so that no checksum matches. */
  | {flipAt: number}
  /** Sends no faster than this. */
  | {bytesPerMs: number}

export type Fault = FaultFilter & (AnswerFault | BodyFault)

/** The properties of a request that select its faults. */
export interface FaultTarget {
  readonly kind?: RequestKind
  readonly method: string
  readonly bucket?: string
  readonly object?: string
}

/** The faults that tests have set. Each request gets at most one for its answer and one for its body. */
export class Faults {
  readonly #ordered = new Set<{fault: Fault; left: number}>()

  /** Disposing of the result removes what is left of the fault. */
  order(fault: Fault): Disposable {
    const entry = {fault, left: fault.times ?? 1}
    this.#ordered.add(entry)
    return {[Symbol.dispose]: () => void this.#ordered.delete(entry)}
  }

  answer(target: FaultTarget): AnswerFault | undefined {
    return this.#take<AnswerFault>(target, isAnswerFault)
  }

  body(target: FaultTarget): BodyFault | undefined {
    return this.#take<BodyFault>(target, isBodyFault)
  }

  #take<T>(target: FaultTarget, isWanted: (fault: Fault) => fault is Fault & T): T | undefined {
    for (const entry of this.#ordered) {
      const {fault} = entry
      if (!isWanted(fault) || !matches(fault, target)) continue
      entry.left -= 1
      if (entry.left <= 0) this.#ordered.delete(entry)
      return fault
    }
    return undefined
  }
}

function isAnswerFault(fault: Fault): fault is Fault & AnswerFault {
  return 'status' in fault || 'stall' in fault
}

function isBodyFault(fault: Fault): fault is Fault & BodyFault {
  return !isAnswerFault(fault)
}

function matches(filter: FaultFilter, target: FaultTarget): boolean {
  return (['kind', 'method', 'bucket', 'object'] as const).every(
    (key) => filter[key] === undefined || filter[key] === target[key],
  )
}

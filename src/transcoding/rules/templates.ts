/** One segment of a template, without variable names: a literal, `*` (one segment) or `**` (zero or more). */
export type Segment = {kind: 'literal'; text: string} | {kind: '*'} | {kind: '**'}

/** A variable and the segments that it spans: from `start` to before `end`. */
export interface Variable {
  /** The field path, as written: `book.name`. */
  path: string
  start: number
  end: number
  /** Whether it is a multi-segment variable, such as `{v=a/*}` and `{v=**}`, but not `{v}` (http.proto). */
  multi: boolean
}

/** A path template of google/api/http.proto, parsed. */
export interface Template {
  segments: readonly Segment[]
  variables: readonly Variable[]
  /**
   * The text after the first `:` of the last segment, normalized by verbKey(): `cancel`, or `cancel:now` for several verbs. Empty for
   * none.
   */
  verb: string
  /** The index of the `**` in `segments`, or -1. */
  rest: number
}

/**
 * Parses a template by the grammar of google/api/http.proto. In addition, literals may follow a `**`, and there may be several verbs,
 * as in some Google APIs (our decision).
 * @throws {Error} with the position of the error and what was expected there
 */
export function parseTemplate(source: string): Template {
  const parser = new Parser(source)
  const {segments, variables, verb} = parser.template()
  const rest = segments.findIndex((segment) => segment.kind === '**')
  const after = rest < 0 ? undefined : segments.slice(rest + 1).find((segment) => segment.kind !== 'literal')
  if (after) throw new Error(`"${after.kind}" after "**": only literals and a verb may follow it`)
  return {segments, variables, verb, rest}
}

/** Normalizes a verb, or several separated by `:`, so that they can be compared. */
export function verbKey(verbs: readonly string[]): string {
  return verbs.map(encodeURIComponent).join(':')
}

/** Characters of a literal: those that RFC 3986 allows in a segment, except for `*` and `:`, and those outside of ASCII. */
const literal = /(?:[A-Za-z0-9\-._~!$&'()+,;=@%]|[^\0-\x7f])+/y
const identifier = /[A-Za-z_][A-Za-z0-9_]*/y

class Parser {
  readonly #source: string
  readonly #segments: Segment[] = []
  readonly #variables: Variable[] = []
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  template() {
    if (!this.#take('/')) this.#fail('"/"')
    this.#list(false)
    const verbs: string[] = []
    while (this.#take(':')) verbs.push(this.#literal('a verb'))
    if (this.#at < this.#source.length) this.#fail(verbs.length > 0 ? 'the end' : '"/", ":" or the end')
    return {segments: this.#segments, variables: this.#variables, verb: verbKey(verbs)}
  }

  #list(inVariable: boolean) {
    do {
      this.#segment(inVariable)
    } while (this.#take('/'))
  }

  #segment(inVariable: boolean) {
    if (this.#take('{')) {
      if (inVariable) throw new Error(`a variable inside a variable, at character ${this.#at}: they do not nest`)
      this.#variable()
    } else if (this.#take('**')) this.#segments.push({kind: '**'})
    else if (this.#take('*')) this.#segments.push({kind: '*'})
    else this.#segments.push({kind: 'literal', text: this.#literal('a segment')})
  }

  #variable() {
    const start = this.#segments.length
    const path = this.#fieldPath()
    if (this.#take('=')) this.#list(true)
    else this.#segments.push({kind: '*'})
    if (!this.#take('}')) this.#fail('"}"')
    const end = this.#segments.length
    if (this.#variables.some((variable) => variable.path === path)) throw new Error(`"{${path}}" is there twice`)
    this.#variables.push({path, start, end, multi: end - start > 1 || this.#segments[start]?.kind === '**'})
  }

  #fieldPath(): string {
    const names: string[] = []
    do {
      names.push(this.#match(identifier) ?? this.#fail('the name of a field'))
    } while (this.#take('.'))
    return names.join('.')
  }

  #literal(expected: string): string {
    const text = this.#match(literal) ?? this.#fail(expected)
    if (!text.includes('%')) return text
    try {
      return decodeURIComponent(text)
    } catch {
      throw new Error(`"${text}" is not percent-encoded UTF-8`)
    }
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    if (!pattern.test(this.#source)) return undefined
    const text = this.#source.slice(this.#at, pattern.lastIndex)
    this.#at = pattern.lastIndex
    return text
  }

  #fail(expected: string): never {
    const found = this.#at < this.#source.length ? `"${this.#source[this.#at]}"` : 'the end'
    throw new Error(`found ${found} at character ${this.#at + 1}: expected ${expected}`)
  }
}

import type {Dialect} from '../../core/dialect.ts'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {decodePercent, decodeSegments, decodeUnreserved} from './percent.ts'
import {type Segment, type Template, type Variable, verbKey} from './templates.ts'

/** Which escapes are kept in the capture of a multi-segment variable. */
type Decoding = Dialect['pathDecoding']

/** The properties of a route by which it is found. */
export interface Route {
  /** An HTTP method in capitals, or `*` for any (`custom {kind: "*"}` of http.proto). */
  httpMethod: string
  template: Template
}

/** The route for a request, and the captures of its variables: decoded, in the template's order. */
export interface Match<R extends Route> {
  binding: R
  captures: readonly string[]
}

/** No route matches: 404, or 405 with the methods of `allow`, or 204 with the same methods as the answer to OPTIONS. */
export interface Unrouted {
  status: 404 | 405 | 501 | 204
  allow: readonly string[]
}

/**
 * Finds routes by HTTP method and raw path, with a trie. The cost grows with the length of the path and with the number of templates
 * that match its beginning: where a literal and a `*` are alternatives, both branches are searched. So the number of routes does not
 * matter unless they overlap. The worst case, 4,096 templates with a literal or a `*` at each of 12 places, costs milliseconds for a
 * path that none of them matches.
 */
export class Router<R extends Route> {
  readonly #roots = new Map<string, Node<R>>()
  /** The known verbs. Any other colon belongs to its segment (our decision). */
  readonly #verbs = new Set<string>()
  /** The largest number of colons in one of them, including its first. */
  #mostColons = 0
  /** Templates with the same layout share one object, so that a lookup touches little memory even with many routes. */
  readonly #layouts = new Map<string, Layout>()
  readonly #decoding: Decoding

  /** @param decoding which escapes are kept in the capture of a multi-segment variable */
  constructor(decoding: Decoding = 'slash') {
    this.#decoding = decoding
  }

  /** Adds `route`. If a route with the same method, shape and verb exists, returns that one instead. */
  add(route: R): R | undefined {
    const {httpMethod, template} = route
    const {variables, rest, verb} = template
    const layout = getOrMake(this.#layouts, layoutKey(template), () => ({
      decoding: this.#decoding,
      length: template.segments.length,
      rest,
      variables,
    }))
    const end = getOrMake(this.#roots, httpMethod, () => new Node<R>()).place(template.segments)
    const taken = end.put(verb, {route, layout})
    if (!taken && verb) {
      this.#verbs.add(verb)
      this.#mostColons = Math.max(this.#mostColons, verb.split(':').length)
    }
    return taken?.route
  }

  /**
   * The route for a request. `path` is raw, without the query.
   * @throws {Fault} 400 for a path that is not percent-encoded UTF-8.
   */
  route(httpMethod: string, path: string): Match<R> | Unrouted {
    if (path[0] !== '/') return unknown
    const raw = (this.#decoding === 'first' ? decodedOnce(path) : path).slice(1).split('/')
    const whole = {raw, texts: raw.map(plain), verb: ''}
    return this.#routeVerb(httpMethod, whole) ?? this.#routeTarget(httpMethod, whole) ?? unknown
  }

  /** Matches the longest verb that some route has at this path, for any HTTP method. Other colons are part of the segment. */
  #routeVerb(httpMethod: string, {raw, texts}: Target): Match<R> | Unrouted | undefined {
    const last = raw[raw.length - 1]!
    for (const colon of lastColons(last, this.#mostColons)) {
      const verb = writtenVerb(last.slice(colon + 1))
      if (!this.#verbs.has(verb)) continue
      const segment = last.slice(0, colon)
      const target = {raw: raw.with(-1, segment), texts: texts.with(-1, plain(segment)), verb}
      const found = this.#routeTarget(httpMethod, target)
      if (found) return found
      // A wildcard does not match an empty segment, also before a verb.
      if (segment === '' && this.#allow({...target, mayBeEmpty: true}).length > 0) return unknown
    }
    return undefined
  }

  #routeTarget(httpMethod: string, target: Target): Match<R> | Unrouted | undefined {
    const own = this.#find(httpMethod, target)
    if (own) return matched(own, target)
    const got = httpMethod === 'HEAD' && this.#find('GET', target)
    if (got) return matched(got, target)
    const any = this.#find('*', target)
    if (any) return matched(any, target)
    const allow = this.#allow(target)
    if (allow.length === 0) return undefined
    return {status: httpMethod === 'OPTIONS' ? 204 : 405, allow}
  }

  #find(httpMethod: string, target: Target): Leaf<R> | undefined {
    return this.#roots.get(httpMethod)?.find(target, 0)
  }

  #allow(target: Target): string[] {
    const allow = [...this.#roots.keys()].filter((httpMethod) => this.#find(httpMethod, target))
    if (allow.length === 0) return []
    if (allow.includes('GET')) allow.push('HEAD')
    return [...new Set([...allow, 'OPTIONS'])].sort()
  }
}

/**
 * The failure for a request without a route: NOT_FOUND for 404, UNIMPLEMENTED with `Allow` for 405.
 * @param httpMethod the method of the request
 * @param path the path of the request
 * @example
 * const found = createTranscoder({schema: readFileSync('src/gen/descriptors.binpb')}).route('GET', '/nowhere')
 * if (!('binding' in found)) throw unroutedFault(found, 'GET', '/nowhere')
 */
export function unroutedFault({status, allow}: Unrouted, httpMethod: string, path: string): Fault {
  const place = shortened(path)
  if (status === 404)
    return new Fault('NOT_FOUND', `Cannot find "${place}": no method is bound to this path`, {reason: 'NO_SUCH_PATH'})
  return new Fault('UNIMPLEMENTED', `Cannot ${httpMethod} "${place}": it takes ${allow.join(', ')}`, {
    http: status === 501 ? 501 : 405,
    reason: 'METHOD_NOT_ALLOWED',
    headers: {allow: allow.join(', ')},
  })
}

const unknown: Unrouted = {status: 404, allow: []}

/** A path split into segments: raw ones for captures, decoded ones for literals. */
interface Target {
  raw: readonly string[]
  texts: readonly string[]
  verb: string
  /** Whether `*` matches an empty segment as well. Only set to find out whether the path would match with a name in its place. */
  mayBeEmpty?: boolean
}

/** The positions of the last `count` colons of `text`, from left to right. */
function lastColons(text: string, count: number): number[] {
  const colons: number[] = []
  for (let at = text.lastIndexOf(':'); at >= 0 && colons.length < count; at = text.lastIndexOf(':', at - 1)) {
    colons.unshift(at)
    if (at === 0) break
  }
  return colons
}

/** The text after a colon in the spelling of a template's verb, where `%3A` begins no further verb. */
function writtenVerb(raw: string): string {
  return /^[\w.:-]*$/.test(raw) ? raw : verbKey(raw.split(':').map(plain))
}

/** The positions of a template's variables, as needed for captures. */
interface Layout {
  decoding: Decoding
  length: number
  rest: number
  variables: readonly Omit<Variable, 'path'>[]
}

function layoutKey({segments, rest, variables}: Template): string {
  let key = `${segments.length} ${rest}`
  for (const {start, end, multi} of variables) key += ` ${start} ${end} ${multi}`
  return key
}

interface Leaf<R> {
  route: R
  layout: Layout
}

/** The end of all templates of one shape, which differ in their verbs. */
class End<R> {
  #plain: Leaf<R> | undefined
  #byVerb: Map<string, Leaf<R>> | undefined

  get(verb: string): Leaf<R> | undefined {
    if (verb === '') return this.#plain
    const byVerb = this.#byVerb
    return byVerb?.get(verb)
  }

  /** Adds `leaf`. If there is one already, returns that one instead. */
  put(verb: string, leaf: Leaf<R>): Leaf<R> | undefined {
    const taken = this.get(verb)
    if (taken) return taken
    if (verb === '') this.#plain = leaf
    else {
      this.#byVerb ??= new Map()
      this.#byVerb.set(verb, leaf)
    }
    return undefined
  }
}

class Node<R> extends End<R> {
  /** The first literal. Most nodes of a large schema have no others, and so need no map. */
  #text: string | undefined
  #first: Node<R> | undefined
  #others: Map<string, Node<R>> | undefined
  #star: Node<R> | undefined
  #rest: Tail<R> | undefined

  /** The end of a template, from segment `index` on. Creates missing nodes. */
  place(segments: readonly Segment[], index = 0): End<R> {
    const segment = segments[index]
    if (!segment) return this
    if (segment.kind === '**') {
      this.#rest ??= new Tail()
      return this.#rest.place(segments.slice(index + 1).map(textOf))
    }
    return this.#child(segment).place(segments, index + 1)
  }

  /** Tries a literal, then `*`, then `**`, with backtracking (our decision). Visits a node at most once, as its depth is `index`. */
  find(target: Target, index: number): Leaf<R> | undefined {
    const text = target.texts[index]
    if (text === undefined) return this.get(target.verb) ?? this.#findRest(target, index)
    return this.#literal(text)?.find(target, index + 1) ?? this.#findStar(text, target, index)
  }

  #findStar(text: string, target: Target, index: number): Leaf<R> | undefined {
    const star = text === '' && !target.mayBeEmpty ? undefined : this.#star
    return star?.find(target, index + 1) ?? this.#findRest(target, index)
  }

  #findRest(target: Target, index: number): Leaf<R> | undefined {
    const rest = this.#rest
    return rest?.find(target, index)
  }

  #child(segment: Segment): Node<R> {
    if (segment.kind === 'literal') return this.#literal(segment.text) ?? this.#addLiteral(segment.text)
    this.#star ??= new Node()
    return this.#star
  }

  #literal(text: string): Node<R> | undefined {
    return text === this.#text ? this.#first : this.#others?.get(text)
  }

  #addLiteral(text: string): Node<R> {
    const made = new Node<R>()
    if (this.#text === undefined) {
      this.#text = text
      this.#first = made
    } else {
      this.#others ??= new Map()
      this.#others.set(text, made)
    }
    return made
  }
}

/** The literals after a `**`, matched from the end of the path. The longest match wins. */
class Tail<R> extends End<R> {
  readonly #literals = new Map<string, Tail<R>>()

  place(texts: readonly string[]): End<R> {
    const last = texts.at(-1)
    if (last === undefined) return this
    return getOrMake(this.#literals, last, () => new Tail<R>()).place(texts.slice(0, -1))
  }

  /** Considers the segments from `from` to before `end`. */
  find(target: Target, from: number, end = target.texts.length): Leaf<R> | undefined {
    const longer = end > from ? this.#literals.get(target.texts[end - 1]!)?.find(target, from, end - 1) : undefined
    return longer ?? this.get(target.verb)
  }
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const there = map.get(key)
  if (there !== undefined) return there
  const made = make()
  map.set(key, made)
  return made
}

function matched<R extends Route>({route, layout}: Leaf<R>, {raw}: Target): Match<R> {
  return {binding: route, captures: layout.variables.map((variable) => capture(layout, variable, raw))}
}

/** The segments that `variable` captures. Positions after a `**` are counted from the end of the path. */
function capture({length, rest, decoding}: Layout, variable: Omit<Variable, 'path'>, raw: readonly string[]): string {
  const stretch = raw.length - length
  const start = rest >= 0 && rest < variable.start ? variable.start + stretch : variable.start
  const end = rest >= 0 && rest < variable.end ? variable.end + stretch : variable.end
  if (!variable.multi) return plain(raw[start]!)
  const segments = raw.slice(start, end)
  const text = segments.join('/')
  if (decoding === 'reserved') return escaped.test(text) ? decodeUnreserved(text, 'path') : text
  if (decoding === 'all' && rest >= variable.start && rest < variable.end && escaped.test(text)) {
    // Segments that a `*` matches keep `%2F` (http.proto). Those of the `**` are decoded.
    const isRest = (at: number) => at >= rest && at <= rest + stretch
    const decoded = segments.map((one, index) => (isRest(start + index) ? plain(one) : decodeSegments(one, 'path')))
    return decoded.join('/')
  }
  return escaped.test(text) ? decodeSegments(text, 'path') : text
}

/** Decodes `path`, but keeps escapes that a second decoding would change. */
function decodedOnce(path: string): string {
  return escaped.test(path) ? decodePercent(path, 'path').replace(/[%\x80-\uffff]+/g, encodeURIComponent) : path
}

const escaped = /[%\x80-\uffff]/

function plain(raw: string): string {
  return escaped.test(raw) ? decodePercent(raw, 'path') : raw
}

function textOf(segment: Segment): string {
  return segment.kind === 'literal' ? segment.text : segment.kind
}

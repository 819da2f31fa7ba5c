import type {Dialect} from '../../core/dialect.ts'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {decodePercent, decodeSegments, decodeUnreserved} from './percent.ts'
import {type Segment, type Template, type Variable, verbKey} from './templates.ts'

/** Which escapes stay as they are in what a variable of many segments captures. */
type Decoding = Dialect['pathDecoding']

/** What a route needs to be found by. */
export interface Route {
  /** An HTTP method in capitals, or `*` for any (`custom {kind: "*"}` of http.proto). */
  httpMethod: string
  template: Template
}

/** A route that takes a request, and what its variables captured: decoded, in their order. */
export interface Match<R extends Route> {
  binding: R
  captures: readonly string[]
}

/** Nobody takes the request: 404; 405 with what `allow` lists; or 204, the answer to OPTIONS, with the same. */
export interface Unrouted {
  status: 404 | 405 | 501 | 204
  allow: readonly string[]
}

/**
 * Finds routes by HTTP method and raw path. Its cost grows with the path, and with how many templates its beginning fits:
 * where a literal and a `*` stand side by side it looks behind both. So the number of routes does not matter where they
 * do not overlap; 4,096 that do, a literal or a `*` at each of 12 places, cost ms for a path that none of them takes.
 */
export class Router<R extends Route> {
  readonly #roots = new Map<string, Node<R>>()
  /** Only these can be verbs: any other colon belongs to its segment (our decision). */
  readonly #verbs = new Set<string>()
  /** The most colons that one of them has, its first one included. */
  #mostColons = 0
  /** Templates of one layout share one, so that a lookup touches little memory however many routes there are. */
  readonly #layouts = new Map<string, Layout>()
  readonly #decoding: Decoding

  /** @param decoding which escapes stay in what a variable of many segments captures */
  constructor(decoding: Decoding = 'slash') {
    this.#decoding = decoding
  }

  /** Adds `route`, or gives back the one that already has its method, shape and verb. */
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

  /** By the longest verb that is bound to this very path, by whatever HTTP method: of others the colon claims nothing. */
  #routeVerb(httpMethod: string, {raw, texts}: Target): Match<R> | Unrouted | undefined {
    const last = raw[raw.length - 1]!
    for (const colon of lastColons(last, this.#mostColons)) {
      const verb = writtenVerb(last.slice(colon + 1))
      if (!this.#verbs.has(verb)) continue
      const segment = last.slice(0, colon)
      const target = {raw: raw.with(-1, segment), texts: texts.with(-1, plain(segment)), verb}
      const found = this.#routeTarget(httpMethod, target)
      if (found) return found
      // An empty segment is no name, with a verb after it neither.
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

/** A path taken apart: the raw segments for captures, the decoded ones for literals. */
interface Target {
  raw: readonly string[]
  texts: readonly string[]
  verb: string
  /** Whether `*` takes an empty segment as well: never, but to see what a path would be with a name in its place. */
  mayBeEmpty?: boolean
}

/** Where the last `count` colons of `text` are, from the left. */
function lastColons(text: string, count: number): number[] {
  const colons: number[] = []
  for (let at = text.lastIndexOf(':'); at >= 0 && colons.length < count; at = text.lastIndexOf(':', at - 1)) {
    colons.unshift(at)
    if (at === 0) break
  }
  return colons
}

/** What follows a colon, as a verb of a template: `%3A` is none that begins another verb. */
function writtenVerb(raw: string): string {
  return /^[\w.:-]*$/.test(raw) ? raw : verbKey(raw.split(':').map(plain))
}

/** Where the variables of a template are: all that a capture needs of it. */
interface Layout {
  decoding: Decoding
  length: number
  rest: number
  variables: readonly Omit<Variable, 'path'>[]
}

function layoutKey({segments, rest, variables}: Template): string {
  return JSON.stringify([segments.length, rest, variables.map(({start, end, multi}) => [start, end, multi])])
}

interface Leaf<R> {
  route: R
  layout: Layout
}

/** Where templates of one shape end, each with a verb of its own. */
class End<R> {
  #plain: Leaf<R> | undefined
  #byVerb: Map<string, Leaf<R>> | undefined

  get(verb: string): Leaf<R> | undefined {
    if (verb === '') return this.#plain
    const byVerb = this.#byVerb
    return byVerb?.get(verb)
  }

  /** Puts `leaf` here, or gives back the one that is. */
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
  readonly #literals = new Map<string, Node<R>>()
  #star: Node<R> | undefined
  #rest: Tail<R> | undefined

  /** Where a template ends, from segment `index` on; made as needed. */
  place(segments: readonly Segment[], index = 0): End<R> {
    const segment = segments[index]
    if (!segment) return this
    if (segment.kind === '**') {
      this.#rest ??= new Tail()
      return this.#rest.place(segments.slice(index + 1).map(textOf))
    }
    return this.#child(segment).place(segments, index + 1)
  }

  /** Literal before `*` before `**`, backtracking (our decision). A node is seen once at most: its depth is `index`. */
  find(target: Target, index: number): Leaf<R> | undefined {
    const text = target.texts[index]
    if (text === undefined) return this.get(target.verb) ?? this.#findRest(target, index)
    return this.#literals.get(text)?.find(target, index + 1) ?? this.#findStar(text, target, index)
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
    if (segment.kind === 'literal') return getOrMake(this.#literals, segment.text, () => new Node<R>())
    this.#star ??= new Node()
    return this.#star
  }
}

/** What follows a `**`: literals, found from the end of the path. The longest tail wins. */
class Tail<R> extends End<R> {
  readonly #literals = new Map<string, Tail<R>>()

  place(texts: readonly string[]): End<R> {
    const last = texts.at(-1)
    if (last === undefined) return this
    return getOrMake(this.#literals, last, () => new Tail<R>()).place(texts.slice(0, -1))
  }

  /** Looks at no segment before `from`, nor at those from `end` on. */
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

/** What `variable` spans of a path of any length: whatever lies behind a `**` is counted from the end. */
function capture({length, rest, decoding}: Layout, variable: Omit<Variable, 'path'>, raw: readonly string[]): string {
  const stretch = raw.length - length
  const start = rest >= 0 && rest < variable.start ? variable.start + stretch : variable.start
  const end = rest >= 0 && rest < variable.end ? variable.end + stretch : variable.end
  if (!variable.multi) return plain(raw[start]!)
  const segments = raw.slice(start, end)
  const text = segments.join('/')
  if (decoding === 'reserved') return escaped.test(text) ? decodeUnreserved(text, 'path') : text
  if (decoding === 'all' && rest >= variable.start && rest < variable.end && escaped.test(text)) {
    // As http.proto says, `%2F` stays where a single segment is matched.
    const isRest = (at: number) => at >= rest && at <= rest + stretch
    const decoded = segments.map((one, index) => (isRest(start + index) ? plain(one) : decodeSegments(one, 'path')))
    return decoded.join('/')
  }
  return escaped.test(text) ? decodeSegments(text, 'path') : text
}

/** `path` decoded, with escapes left of what another decoding would change. */
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

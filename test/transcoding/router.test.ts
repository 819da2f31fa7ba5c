import test from 'ava'
import fc from 'fast-check'
import {Fault} from '../../src/core/fault.ts'
import {failureHeaders, failureJson, httpStatusOf} from '../../src/http/response/failure.ts'
import {type Route, Router, unroutedFault} from '../../src/transcoding/rules/router.ts'
import {parseTemplate} from '../../src/transcoding/rules/templates.ts'
import {templateOf, transcode} from './schema.ts'

const rules = [
  {get: '/v1/{name}'},
  {get: '/v1/{name}:archive'},
  {get: '/c/{name}/d'},
  {get: '/v2/ops/{name}:cancel'},
  {get: '/v3/{name=o/**}'},
  {get: '/v4/{name=**}:purge'},
  {get: '/v5/{name=**}/tail/{renamed=end}'},
  {get: '/v6/{name=shelves/*}/{renamed}'},
  {get: '/v7/{name=qm}/{renamed}'},
  {get: '/lit/a%2Fb'},
  {get: '/lit/%C3%A9'},
  {get: '/all/**'},
  {get: '/v8/{name}:undo'},
  {get: '/v8/{name}:undo:now'},
  {get: '/v8/{name}:a%3Ab'},
  {get: '/v9/{name=**}'},
  {get: '/v9/{name=**}:try:again'},
  {get: '/v10/{name=a/*}/b'},
  {get: '/v11/{name=a/*/b}'},
]

/** Paths are matched before they are decoded: path, rule (null for 404), and the fields name and renamed. */
const matches: [key: string, path: string, rule: string | null, name?: string, renamed?: string][] = [
  ['`*` is exactly one segment', '/v1/a', '/v1/{name}', 'a'],
  ['`*` is exactly one segment', '/v1/a/b', null],
  ['`*` is exactly one segment', '/v1', null],
  ['an empty segment', '/v1/', null],
  ['an empty segment', '/c//d', null],
  ['an empty segment', '/v2/ops/:cancel', null],
  ['an empty segment', '/c/x/d/', null],
  ['an empty segment before a verb is no name with a colon', '/v1/:archive', null],
  ['`**` may be empty', '/v4/:purge', '/v4/{name=**}:purge', ''],
  ['`**` may be empty', '/v4:purge', '/v4/{name=**}:purge', ''],
  ['`**` zero or more', '/v4/a:purge', '/v4/{name=**}:purge', 'a'],
  ['`**` zero or more', '/v4/a/b/c:purge', '/v4/{name=**}:purge', 'a/b/c'],
  ['`**` of zero segments', '/v3/o', '/v3/{name=o/**}', 'o'],
  ['`**` of zero segments', '/v3/o/', '/v3/{name=o/**}', 'o/'],
  ['`**` of zero segments', '/v3/o/a/b', '/v3/{name=o/**}', 'o/a/b'],
  ['`**` of zero segments', '/all', '/all/**'],
  ['literals after `**`', '/v5/a/b/tail/end', '/v5/{name=**}/tail/{renamed=end}', 'a/b', 'end'],
  ['literals after `**`', '/v5/tail/end', '/v5/{name=**}/tail/{renamed=end}', '', 'end'],
  ['literals after `**`', '/v5/tail/end/tail/end', '/v5/{name=**}/tail/{renamed=end}', 'tail/end', 'end'],
  ['literals after `**`', '/v5/end', null],
  ['a literal capture', '/v7/qm/x', '/v7/{name=qm}/{renamed}', 'qm', 'x'],
  ['a literal capture', '/v7/other/x', null],
  ['variables that span other parts of paths of one length', '/v10/a/x/b', '/v10/{name=a/*}/b', 'a/x'],
  ['variables that span other parts of paths of one length', '/v11/a/x/b', '/v11/{name=a/*/b}', 'a/x/b'],
  ['decoding exactly once', '/v1/%252F', '/v1/{name}', '%2F'],
  ['single-segment: every %XX', '/v1/a%2Fb%20c', '/v1/{name}', 'a/b c'],
  ['single-segment: every %XX', '/v1/%e2%82%ac', '/v1/{name}', '€'],
  [
    'multi-segment: all but %2F',
    '/v6/shelves/a%2Fb%2fc%20d/x%2Fy',
    '/v6/{name=shelves/*}/{renamed}',
    'shelves/a%2Fb%2fc d',
    'x/y',
  ],
  ['multi-segment: all but %2F', '/v6/shelves/%252F/x', '/v6/{name=shelves/*}/{renamed}', 'shelves/%2F', 'x'],
  ['`+` in a path', '/v1/a+b', '/v1/{name}', 'a+b'],
  ['literals compared decoded', '/lit/a%2fb', '/lit/a%2Fb'],
  ['literals compared decoded', '/lit/a%2Fb', '/lit/a%2Fb'],
  ['literals compared decoded', '/l%69t/%c3%A9', '/lit/%C3%A9'],
  ['literals compared decoded', '/lit/a/b', null],
  ['bytes outside of ASCII, as Node gives them', '/v1/\xc3\xa9', '/v1/{name}', 'é'],
  ['%3A never starts a verb', '/v1/a%3Aarchive', '/v1/{name}', 'a:archive'],
  ['verb', '/v1/a:archive', '/v1/{name}:archive', 'a'],
  ['verb', '/v1/a:b:archive', '/v1/{name}:archive', 'a:b'],
  ['verb: colon included', '/v1/a:other', '/v1/{name}', 'a:other'],
  ['verb: colon included', '/v1/a:archive:x', '/v1/{name}', 'a:archive:x'],
  ['several verbs', '/v8/a:undo:now', '/v8/{name}:undo:now', 'a'],
  ['several verbs', '/v8/a:undo', '/v8/{name}:undo', 'a'],
  ['several verbs: the longest that is bound', '/v8/a:b:undo:now', '/v8/{name}:undo:now', 'a:b'],
  ['several verbs: all of them', '/v8/a:now', null],
  ['several verbs: in their order', '/v8/a:now:undo', '/v8/{name}:undo', 'a:now'],
  ['several verbs: %3A is none', '/v8/a:undo%3Anow', null],
  ['several verbs: %3A is none', '/v8/a:a%3ab', '/v8/{name}:a%3Ab', 'a'],
  ['several verbs: %3A is none', '/v8/a:a:b', null],
  ['several verbs: escaped', '/v8/a:%75ndo:n%6Fw', '/v8/{name}:undo:now', 'a'],
  ['several verbs: after `**`', '/v9/a/b:try:again', '/v9/{name=**}:try:again', 'a/b'],
  ['several verbs: after `**`', '/v9:try:again', '/v9/{name=**}:try:again', ''],
  ['several verbs: an empty segment', '/v8/:undo:now', null],
  ['a verb of other paths claims nothing', '/v1/a:cancel', '/v1/{name}', 'a:cancel'],
  ['a verb of other paths claims nothing', '/v1/a:undo:now', '/v1/{name}', 'a:undo:now'],
  ['a verb of other paths claims nothing', '/v1/:cancel', '/v1/{name}', ':cancel'],
  ['a verb of other paths claims nothing', '/v1/a:cancel:archive', '/v1/{name}:archive', 'a:cancel'],
  ['a verb of other paths claims nothing', '/v9/a:archive', '/v9/{name=**}', 'a:archive'],
  ['a verb of other paths claims nothing', '/v3/o/a:purge', '/v3/{name=o/**}', 'o/a:purge'],
  ['verb: last segment only', '/c/a:archive/d', '/c/{name}/d', 'a:archive'],
  ['verb: a registered one is claimed', '/c/x/d:archive', null],
  ['no such path', '/', null],
  ['no such path', 'v1/a', null],
  ['no such path', '', null],
  ['no such path', 'xv1/a', null],
  ['no such path', '/nope', null],
]

const transcoder = transcode(rules)

for (const [key, path, rule, name, renamed] of matches) {
  test(`${key}: ${JSON.stringify(path)} → ${rule ?? 404}`, (t) => {
    const match = transcoder.route('GET', path)
    if ('status' in match) {
      t.deepEqual([match.status, rule], [404, null])
      return
    }
    t.is(templateOf(match.binding) as string | null, rule)
    t.deepEqual(
      [...match.captures],
      [name, renamed].filter((value) => value !== undefined),
    )
  })
}

const reserved = '%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D'

/** Which escapes a capture of several segments keeps, by GATEWAY_PATH_DECODING. */
const decodings: [decoding: 'slash' | 'all' | 'reserved' | 'first', path: string, name: string][] = [
  ['slash', '/a/x%2Fy/b/p%2Fq/%2b%41', 'a/x%2Fy/b/p%2Fq/+A'],
  ['all', '/a/x%2Fy/b/p%2Fq/%2b%2F%41', 'a/x%2Fy/b/p/q/+/A'],
  ['reserved', `/a/%41/b/${reserved}/${reserved.toLowerCase()}`, `a/A/b/${reserved}/${reserved.toLowerCase()}`],
  ['first', '/a/%2541/b/%C3%A9%252F', 'a/%41/b/é%2F'],
]

for (const [pathDecoding, path, name] of decodings) {
  test(`path decoding "${pathDecoding}": ${path} → ${name}`, (t) => {
    const match = transcode([{get: '/{name=a/*/b/**}'}], {pathDecoding}).route('GET', path)
    t.deepEqual('binding' in match && match.captures, [name])
  })
}

for (const path of [
  '/v1/%',
  '/v1/%2',
  '/v1/%zz',
  '/v1/%ff',
  '/v1/%c3',
  '/nope/%',
  '/v1/\xe9',
  '/v1/\u20ac',
  '/v1/a:%',
]) {
  test(`a malformed escape or invalid UTF-8: ${JSON.stringify(path)} is 400`, (t) => {
    const fault = t.throws(() => transcoder.route('GET', path), {instanceOf: Fault})
    t.is(httpStatusOf(fault!), 400)
    t.like(failureJson(fault!, 'aip'), {error: {details: [{fieldViolations: [{field: 'path'}]}]}})
  })
}

/** Overlapping rules: the templates, a path, and the template that gets it. */
const overlaps: [templates: string[], path: string, taker: string][] = [
  [['/a/*', '/a/b'], '/a/b', '/a/b'],
  [['/a/**', '/a/*'], '/a/b', '/a/*'],
  [['/**', '/a/*', '/a/b'], '/a/c/d', '/**'],
  [['/a/*/c', '/a/b/*'], '/a/b/c', '/a/b/*'],
  // Backtracking: the literal "b" leads nowhere, so "*" is tried, and then "**".
  [['/a/b/x', '/a/*/y'], '/a/b/y', '/a/*/y'],
  [['/a/b/x', '/a/*/y', '/a/**'], '/a/b/z', '/a/**'],
  [['/a/b/**/x', '/a/*/c'], '/a/b/c', '/a/*/c'],
  [['/{name=**}', '/a/{name=**}/c'], '/a/b/c', '/a/{name=**}/c'],
  [['/**/c', '/**/b/c', '/**'], '/a/b/c', '/**/b/c'],
  [['/**/c', '/**/b/c', '/**'], '/a/c', '/**/c'],
  [['/a/*:v', '/a/b'], '/a/b:v', '/a/*:v'],
  [['/a', '/a/**'], '/a', '/a'],
]

for (const [templates, path, taker] of overlaps) {
  for (const order of [templates, templates.toReversed()]) {
    test(`overlaps: of ${order.join(' and ')}, ${taker} gets ${path}`, (t) => {
      const match = transcode(order.map((get) => ({get}))).route('GET', path)
      t.is('binding' in match && templateOf(match.binding), taker)
    })
  }
}

test('only bindings of the same HTTP method overlap: a literal for POST does not hide a variable for GET', (t) => {
  const match = transcode([{post: '/a/b'}, {get: '/a/{name}'}]).route('GET', '/a/b')
  t.is('binding' in match && match.binding.rule, 'get: "/a/{name}"')
})

const methods = transcode([
  {get: '/a'},
  {put: '/a', body: '*'},
  {custom: {kind: 'purge', path: '/a'}},
  {custom: {kind: 'HEAD', path: '/headed'}},
  {get: '/headed'},
  {custom: {kind: 'OPTIONS', path: '/optioned'}},
  {custom: {kind: '*', path: '/any'}},
  {delete: '/any'},
  {get: '/any'},
  {patch: '/only/{name}:verb'},
  {get: '/both/{name}'},
  {post: '/both/{name}:verb', body: '*'},
])

/** HTTP method, path, and the rule, or the status with its Allow header. */
const byMethod: [key: string, method: string, path: string, outcome: string][] = [
  ['405 with Allow', 'POST', '/a', '405 GET, HEAD, OPTIONS, PURGE, PUT'],
  ['405 with Allow', 'GET', '/only/x:verb', '405 OPTIONS, PATCH'],
  ['405: a verb is one whatever the method', 'GET', '/both/x:verb', '405 OPTIONS, POST'],
  ['405: a colon that is none', 'PUT', '/both/x:other', '405 GET, HEAD, OPTIONS'],
  ['404', 'GET', '/only/x', '404 '],
  ['404', 'OPTIONS', '/b', '404 '],
  ['HEAD answers as GET', 'HEAD', '/a', 'get: "/a"'],
  ['HEAD: unless a custom HEAD is bound', 'HEAD', '/headed', 'custom: {kind: "HEAD", path: "/headed"}'],
  ['OPTIONS answers 204 with Allow', 'OPTIONS', '/a', '204 GET, HEAD, OPTIONS, PURGE, PUT'],
  ['OPTIONS: unless bound', 'OPTIONS', '/optioned', 'custom: {kind: "OPTIONS", path: "/optioned"}'],
  ['custom kinds', 'PURGE', '/a', 'custom: {kind: "purge", path: "/a"}'],
  ['custom "*" is any method', 'POST', '/any', 'custom: {kind: "*", path: "/any"}'],
  ['custom "*" is any method', 'BREW', '/any', 'custom: {kind: "*", path: "/any"}'],
  ['custom "*" is any method', 'OPTIONS', '/any', 'custom: {kind: "*", path: "/any"}'],
  ['custom "*": the method of its own goes first', 'DELETE', '/any', 'delete: "/any"'],
  ['custom "*": HEAD is for the GET', 'HEAD', '/any', 'get: "/any"'],
]

for (const [key, method, path, outcome] of byMethod) {
  test(`${key}: ${method} ${path} → ${outcome}`, (t) => {
    const match = methods.route(method, path)
    if ('status' in match) t.is(`${match.status} ${match.allow.join(', ')}`, outcome)
    else t.is(match.binding.rule, outcome)
  })
}

test('a 405 has the Allow header, a 404 names the path', (t) => {
  const known = unroutedFault({status: 405, allow: ['GET', 'HEAD']}, 'POST', '/a')
  t.is(httpStatusOf(known), 405)
  t.is(known.message, 'Cannot POST "/a": it takes GET, HEAD')
  t.is(failureHeaders(known).allow, 'GET, HEAD')
  t.is(httpStatusOf(unroutedFault({status: 501, allow: ['GET', 'HEAD']}, 'POST', '/a')), 501)
  const unknown = unroutedFault({status: 404, allow: []}, 'GET', '/b')
  t.is(httpStatusOf(unknown), 404)
  t.like(unknown, {code: 'NOT_FOUND', message: 'Cannot find "/b": no method is bound to this path'})
})

const segments = fc.array(fc.constantFrom('a', 'b', '*', '*'), {minLength: 1, maxLength: 3})
const verbs = fc.constantFrom('', '', ':x', ':y', ':x:y', ':y:x', ':x:x:y')
const template = fc
  .record({segments, rest: fc.constantFrom('', '', '/**', '/**/a'), verb: verbs})
  .map(({segments, rest, verb}) => `/${segments.join('/')}${rest}${verb}`)
const routes = fc.array(fc.record({httpMethod: fc.constantFrom('GET', 'POST'), template}), {maxLength: 8})
const path = fc
  .array(fc.constantFrom('a', 'b', 'c', '', 'a:x', ':y'), {minLength: 1, maxLength: 4})
  .chain((parts) =>
    fc.constantFrom('', ':x', ':y', ':x:y', ':z', ':x:x:y', ':').map((verb) => `/${parts.join('/')}${verb}`),
  )

/** Whether `template` matches `path`, by a regular expression: a second reading of the grammar, independent of the router. */
function takes(template: string, path: string): boolean {
  const [, segments = '', verb = ''] = /^([^:]*)(.*)$/.exec(template)!
  const pattern = segments.replaceAll('/**', '(?:/REST)?').replaceAll('*', '[^/]+').replaceAll('REST', '.*')
  return new RegExp(`^${pattern}${verb}$`).test(path)
}

test('the template with the longest verb gets the path: random templates and paths', (t) => {
  fc.assert(
    fc.property(routes, fc.array(path, {maxLength: 8}), (routes, paths) => {
      const router = new Router<Route & {source: string}>()
      const added: (Route & {source: string})[] = routes
        .map(({httpMethod, template}) => ({httpMethod, template: parseTemplate(template), source: template}))
        .filter((route) => router.add(route) === undefined)
      for (const path of paths) {
        const taking = added.filter(({source}) => takes(source, path))
        const longest = Math.max(...taking.map(({template}) => template.verb.length))
        const bound = taking.filter(({template}) => template.verb.length === longest)
        const match = router.route('GET', path)
        const expected = bound.filter(({httpMethod}) => httpMethod === 'GET')
        if ('status' in match) {
          // An empty name before a verb is 404, although without the verb a name with a colon would match the path.
          if (match.status === 404 && /\/:[^/]*$/.test(path)) continue
          t.deepEqual([match.status, expected.length], [bound.length > 0 ? 405 : 404, 0], path)
        } else {
          t.true(expected.includes(match.binding), `${path} by ${match.binding.source}`)
        }
      }
    }),
    {numRuns: 500},
  )
})

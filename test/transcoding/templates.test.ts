import test from 'ava'
import {parseTemplate, type Template} from '../../src/transcoding/rules/templates.ts'
import {transcode} from './schema.ts'

/** Templates by the grammar in http.proto: template, shape, and variables with the segments that they span. */
const accepted: [
  template: string,
  shape: string,
  variables: [path: string, start: number, end: number, multi: boolean][],
][] = [
  ['/a', '/a', []],
  ['/a/b:verb', '/a/b:verb', []],
  ['/a/b:verb:subverb', '/a/b:verb:subverb', []],
  ['/{name}:a:b:c', '/*:a:b:c', [['name', 0, 1, false]]],
  ['/a:b%3Ac:d', '/a:b%3Ac:d', []],
  ['/*', '/*', []],
  ['/**', '/**', []],
  ['/a/*/b', '/a/*/b', []],
  ['/a/**:verb', '/a/**:verb', []],
  ['/a/**/b/c', '/a/**/b/c', []],
  ['/{name}', '/*', [['name', 0, 1, false]]],
  ['/{name=*}', '/*', [['name', 0, 1, false]]],
  ['/{name=qm}', '/qm', [['name', 0, 1, false]]],
  ['/{name=**}', '/**', [['name', 0, 1, true]]],
  ['/v1/{name=shelves/*}', '/v1/shelves/*', [['name', 1, 3, true]]],
  [
    '/v1/{a.b_c=x/*/y}/{d}:do',
    '/v1/x/*/y/*:do',
    [
      ['a.b_c', 1, 4, true],
      ['d', 4, 5, false],
    ],
  ],
  ['/a%2fb', '/a%2Fb', []],
  ["/-._~!$&'()+,;=@", "/-._~!%24%26'()%2B%2C%3B%3D%40", []],
]

for (const [template, shape, variables] of accepted) {
  test(`grammar: ${template} is accepted`, (t) => {
    const parsed = parseTemplate(template)
    t.is(shapeOf(parsed), shape)
    t.deepEqual(
      parsed.variables.map(({path, start, end, multi}) => [path, start, end, multi]),
      variables,
    )
  })
}

/** Templates that are errors at start. Unknown, repeated, map and message fields are in bindings.test.ts. */
const refused: [template: string, reason: string][] = [
  ['', 'found the end at character 1: expected "/"'],
  ['/', 'found the end at character 2: expected a segment'],
  ['//', 'found "/" at character 2: expected a segment'],
  ['/{}', 'found "}" at character 3: expected the name of a field'],
  ['/a/', 'found the end at character 4: expected a segment'],
  ['/a//b', 'found "/" at character 4: expected a segment'],
  [':verb', 'found ":" at character 1: expected "/"'],
  ['/:verb', 'found ":" at character 2: expected a segment'],
  ['/a/:verb', 'found ":" at character 4: expected a segment'],
  ['/{name}:', 'found the end at character 9: expected a verb'],
  ['/{name}a', 'found "a" at character 8: expected "/", ":" or the end'],
  ['/a{name}', 'found "{" at character 3: expected "/", ":" or the end'],
  ['/{name={name}}', 'a variable inside a variable, at character 8: they do not nest'],
  ['/{1}', 'found "1" at character 3: expected the name of a field'],
  ['/{field-}', 'found "-" at character 8: expected "}"'],
  ['/{name.}', 'found "}" at character 8: expected the name of a field'],
  ['/{name', 'found the end at character 7: expected "}"'],
  ['/{name=}', 'found "}" at character 8: expected a segment'],
  ['/foo/bar*', 'found "*" at character 9: expected "/", ":" or the end'],
  ['/foo/***', 'found "*" at character 8: expected "/", ":" or the end'],
  ['foo/bar', 'found "f" at character 1: expected "/"'],
  ['/foo?x', 'found "?" at character 5: expected "/", ":" or the end'],
  ['/foo#x', 'found "#" at character 5: expected "/", ":" or the end'],
  ['/foo bar', 'found " " at character 5: expected "/", ":" or the end'],
  ['/a:b:', 'found the end at character 6: expected a verb'],
  ['/a::b', 'found ":" at character 4: expected a verb'],
  ['/a:b:c/d', 'found "/" at character 7: expected the end'],
  ['/a:b/c', 'found "/" at character 5: expected the end'],
  ['/a/**/**', '"**" after "**": only literals and a verb may follow it'],
  ['/a/**/*', '"*" after "**": only literals and a verb may follow it'],
  ['/{name=**}/{flag}', '"*" after "**": only literals and a verb may follow it'],
  ['/{name}/{name}', '"{name}" is there twice'],
  ['/%zz', '"%zz" is not percent-encoded UTF-8'],
  ['/%ff', '"%ff" is not percent-encoded UTF-8'],
]

for (const [template, reason] of refused) {
  test(`refused at start: "${template}"`, (t) => {
    const {problems, bindings} = transcode([{get: template}])
    t.deepEqual(problems, [`bound.proto: bound.Bound/M0: get: "${template}": ${reason}`])
    t.is(bindings.length, 0)
  })
}

/** A template without its variables. */
function shapeOf({segments, verb}: Template): string {
  const path = segments.map((segment) => (segment.kind === 'literal' ? encodeURIComponent(segment.text) : segment.kind))
  return `/${path.join('/')}${verb && `:${verb}`}`
}

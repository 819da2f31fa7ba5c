import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {inSource} from '../../src/core/source-places.ts'

const folder = mkdtempSync(join(tmpdir(), 'places-'))
const bundle = join(folder, 'functions.cjs')
// The first column of the first line maps to line 3, column 5 of the source.
writeFileSync(`${bundle}.map`, JSON.stringify({version: 3, sources: ['../src/a.ts'], names: [], mappings: 'AAEI'}))
test.after.always(() => rmSync(folder, {recursive: true}))

const source = join(folder, '../src/a.ts:3:5')

for (const [frame, expected] of [
  [`    at work (${bundle}:1:1)`, `    at work (${source})`],
  [`    at async ${bundle}:1:9`, `    at async ${source}`],
  ['    at work (/app/other.cjs:1:1)', '    at work (/app/other.cjs:1:1)'],
  [`    at work (${folder}/none.cjs:1:1)`, `    at work (${folder}/none.cjs:1:1)`],
  [`    at work (${bundle}:x:1)`, `    at work (${bundle}:x:1)`],
  ['    at work (/app/other.js:1:1)', '    at work (/app/other.js:1:1)'],
  [`see ${bundle}:1:1 for more`, `see ${bundle}:1:1 for more`],
  ['.cjs:', '.cjs:'],
  ['', ''],
] as const) {
  test(`a line "${frame.replaceAll(folder, '…')}" of a stack names the source if possible`, (t) => {
    t.is(inSource(frame, folder), expected)
    t.is(inSource(`Error: x\n${frame}\n    at end`, folder), `Error: x\n${expected}\n    at end`)
  })
}

test('without a bundle, a stack stays unchanged', (t) => {
  const stack = `Error: x\n    at work (${bundle}:1:1)`
  t.is(inSource(stack), stack)
})

test('the time to read a stack is linear in the length of its error message, whatever the message contains', (t) => {
  for (const part of [
    'x',
    '.cjs:1:1',
    '(',
    ' at ',
    '.cjs:1:1\n',
    `${folder}/`,
    `${bundle}:1:1`,
    `${folder}/a.cjs:9:9\n`,
  ]) {
    const message = part.repeat(100_000)
    t.is(inSource(message, folder), message)
  }
})

import test from 'ava'
import {fitting, shortened} from '../../src/core/shortened.ts'

for (const [text, most, short] of [
  ['', 3, ''],
  ['abc', 3, 'abc'],
  ['abcd', 3, 'abc…'],
  ['€€€€', 3, '€€€…'],
  ['a🎈', 3, 'a🎈'],
  ['a🎈d', 3, 'a🎈…'],
  // A balloon takes two characters of a string.
  ['ab🎈', 3, 'ab…'],
  ['🎈🎈', 1, '…'],
] as const) {
  test(`of "${text}" at most ${most} characters are "${short}"`, (t) => t.is(shortened(text, most), short))
}

test('without a limit, a text has 200 characters', (t) => {
  t.is(shortened('x'.repeat(200)), 'x'.repeat(200))
  t.is(shortened('x'.repeat(201)), `${'x'.repeat(200)}…`)
})

test('what does not fit is left out, and smaller things after it are not', (t) => {
  const sizeOf = (text: string) => text.length
  t.deepEqual(fitting(['ab', 'abcd', 'c', 'd'], 4, sizeOf), ['ab', 'c', 'd'])
  t.deepEqual(fitting(['abcd', 'e'], 4, sizeOf), ['abcd'])
})

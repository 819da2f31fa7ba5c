import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {mutations, placeOf, withFault} from './mutations/mutations.ts'

const root = join(import.meta.dirname, '..')

test('each fault of npm run mutate can still be put into its file', (t) => {
  t.true(mutations.length >= 150)
  const sources = new Map<string, string>()
  for (const mutation of mutations) {
    const source = sources.get(mutation.file) ?? readFileSync(join(root, mutation.file), 'utf8')
    sources.set(mutation.file, source)
    t.notThrows(() => placeOf(mutation, source))
    t.not(withFault(mutation, source), source)
  }
})

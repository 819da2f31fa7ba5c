import {appendFileSync, mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {mutations, placeOf, withFault} from './mutations/mutations.ts'
import {Results} from './mutations/results.ts'

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

test('an interrupted run is resumed, and --again forgets only survivors', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'results-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  const file = join(folder, 'results')
  const [noticed, survived, cut] = mutations
  if (!noticed || !survived || !cut) return t.fail()
  const former = new Results(file)
  former.add(survived, {level: 1, by: 'a test'})
  former.add(noticed, {level: 1, by: 'a test'})
  former.add(survived, {level: 2})
  appendFileSync(file, JSON.stringify({...cut, level: 1}))
  const results = new Results(file)
  t.like(results.of(noticed), {level: 1, by: 'a test'})
  t.is(results.of(survived)?.by, undefined)
  t.is(results.of(survived)?.level, 2)
  t.is(results.of(cut), undefined)
  for (const mutation of [noticed, survived]) results.forgetSurvival(mutation)
  t.is(results.of(noticed)?.by, 'a test')
  t.is(results.of(survived), undefined)
  results.add(cut, {level: 1})
  t.like(new Results(file).of(cut), {level: 1})
})

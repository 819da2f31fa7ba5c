import {existsSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {results} from '../bench/lib/results.ts'
import {subjects} from '../bench/lib/subjects.ts'
import {filesOf} from '../bench/report.ts'

const bench = join(import.meta.dirname, '../bench')

test("the benchmark's page, its charts and docs/performance.md are made from its results", (t) => {
  const files = filesOf(results())
  for (const [path, text] of files) {
    t.is(readFileSync(join(bench, path), 'utf8'), text, `bench/${path}: run \`node bench/report.ts\``)
  }
  const charts = readdirSync(join(bench, 'results')).filter((name) => name.endsWith('.svg'))
  t.deepEqual(charts.sort(), [...files.keys()].flatMap((path) => path.match(/[^/]+\.svg$/) ?? []).sort())
})

test('each subject of the benchmark has a file', (t) => {
  for (const name of Object.keys(subjects)) t.true(existsSync(join(bench, `${name}.ts`)), name)
})

test('a chart escapes names and shows each row with its spread', (t) => {
  const cell = {median: 2, least: 1, most: 3}
  const tables = [{title: 'A title', rows: {'a < b': {µs: cell}, 'c & d': {µs: 4}, none: {}}, chart: 'µs'}]
  const files = filesOf({
    unary: {date: '2026-01-02T03:04', node: 'v24', cpu: 'a CPU', cores: 2, tables, leftOut: ['Envoy: no wheel']},
  })
  for (const theme of ['light', 'dark']) {
    const svg = files.get(`results/unary-1-${theme}.svg`)!
    t.true(svg.includes('a &lt; b') && svg.includes('c &amp; d'))
    t.is(svg.match(/<path /g)?.length, 1)
  }
  const page = files.get('README.md')!
  t.true(page.includes('| a < b | 2 (1–3) |') && page.includes('| none |  |'))
  t.true(page.includes('prefers-color-scheme: dark'))
  t.true(page.includes('Left out: Envoy: no wheel.'))
})

test('docs/performance.md has medians and ratios of what was measured, and a dash for what was not', (t) => {
  const of = (µs: number) => ({'CPU µs a request': {median: µs, least: 1, most: 9999}, '× by hand': 0.5})
  const tables = [{title: '', rows: {ping: of(2000), gateway: of(4000)}}]
  const measured = {date: '2026-01-02T03:04', node: 'v24', cpu: 'a CPU', cores: 2, tables}
  const page = filesOf({unary: measured, gateway: measured}).get('../docs/performance.md')!
  t.true(page.includes('| `ping` | 2,000 µs | – µs |'))
  t.true(page.includes('`ping` took 0.5 of by hand'))
  t.true(page.includes('`npm run bench -- gateway` | 2 times |'))
  t.notRegex(page, /\{\{|NaN|undefined/)
})

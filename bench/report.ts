import {mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {barChart, type Theme} from './lib/chart.ts'
import {type Cell, folder, type Results, results, type Subject, shown, type Table} from './lib/results.ts'
import {type SubjectName, subjects} from './lib/subjects.ts'

// `node bench/report.ts`: writes bench/README.md, the charts and docs/performance.md from bench/results/latest.json. `npm run
// bench` runs it at the end.

const introduction = `# Benchmarks

\`npm run bench\` measures all subjects, \`npm run bench -- unary\` only one. \`node bench/report.ts\` makes this page and its charts from
[results/latest.json](results/latest.json), and a test checks that they are current. [docs/performance.md](../docs/performance.md) explains what the numbers mean
for an instance.

All peers of a table are measured in one run on one machine, in turns. Each function has its own process, on the functions-framework unless the table says otherwise.
The backend and the metadata server share another process. A number is the median of the rounds, with the lowest and the highest round in brackets. CPU is only that of
the function's process. Peers are written as in their documentation, and have none of our checks, deadlines, retries or log lines: [peers/](peers).
grpc-gateway is built if the machine has Go, and Envoy is a wheel for Python 3, both in versions that are pinned here. Without Go or Python, they are left out. They use
all cores, and their CPU includes all of them. Compare ratios, not numbers from different machines.
`

/** docs/performance.md before its numbers are filled in. */
const template = readFileSync(join(import.meta.dirname, 'performance.template'), 'utf8')

/** The files made from `measured`: text by path, relative to the repository's `bench/`. */
export function filesOf(measured: Results): Map<string, string> {
  const files = new Map<string, string>()
  const sections = (Object.keys(subjects) as SubjectName[]).flatMap((name) => {
    const subject = measured[name]
    return subject ? [sectionOf(name, subject, files)] : []
  })
  files.set('README.md', [introduction, ...sections].join('\n'))
  files.set('../docs/performance.md', filledIn(template, measured))
  return files
}

/**
 * `text` with each `{{subject > table > row > column}}` or `{{one ÷ another}}` replaced by its number, or by `–` if it has not
 * been measured.
 */
function filledIn(text: string, measured: Results): string {
  return text.replaceAll(/\{\{(.+?)\}\}/g, (_, expression: string) => {
    const [value = Number.NaN, divisor] = expression.split(' ÷ ').map((one) => numberAt(one, measured))
    if (divisor === undefined) return numberText(value)
    const ratio = value / divisor
    return numberText(ratio < 10 ? Number(ratio.toFixed(2)) : Math.round(ratio))
  })
}

function numberText(value: number): string {
  return Number.isNaN(value) ? '–' : value.toLocaleString('en-US')
}

/** A number, or the value of a cell in a table of a subject. Tables are counted from 1. */
function numberAt(path: string, measured: Results): number {
  const [subject, table, row, column] = path.split(' > ')
  if (row === undefined || column === undefined) return Number(path)
  if (!Object.hasOwn(subjects, subject!))
    throw new Error(`bench/performance.template: there is no subject "${subject}"`)
  const cell = measured[subject as SubjectName]?.tables[Number(table) - 1]?.rows[row]?.[column]
  return typeof cell === 'object' ? cell.median : Number(cell ?? Number.NaN)
}

function sectionOf(name: SubjectName, subject: Subject, files: Map<string, string>): string {
  const {date, node, cpu, cores, tables, leftOut} = subject
  const parts = tables.map(
    (table, index) => `${table.title}\n\n${chartsOf(`${name}-${index + 1}`, table, files)}${rowsOf(table)}`,
  )
  const when = `Measured ${date.replace('T', ' ')} UTC, Node ${node}, ${cores} × ${cpu}.`
  const left = leftOut ? ` Left out: ${leftOut.join('; ')}.` : ''
  return `## ${name}\n\n\`npm run bench -- ${name}\`: ${subjects[name]}. ${when}${left}\n\n${parts.join('\n')}`
}

function rowsOf({rows, verdict}: Table): string {
  const columns = [...new Set(Object.values(rows).flatMap((row) => Object.keys(row)))]
  const lines = [
    ['', ...columns],
    ['---', ...columns.map(() => '---:')],
    ...Object.entries(rows).map(([name, row]) => [name, ...columns.map((column) => shown(row[column] ?? ''))]),
  ]
  const table = lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
  return verdict ? `${table}\n${verdict}\n` : table
}

function chartsOf(name: string, {chart, rows}: Table, files: Map<string, string>): string {
  if (chart === undefined) return ''
  const bars = Object.entries(rows).flatMap(([row, cells]) => {
    const cell = cells[chart]
    return cell === undefined || typeof cell === 'string' ? [] : [{name: row, ...barOf(cell)}]
  })
  const path = (theme: Theme) => `results/${name}-${theme}.svg`
  for (const theme of ['light', 'dark'] as const) files.set(path(theme), barChart(chart, bars, theme))
  const dark = `<source media="(prefers-color-scheme: dark)" srcset="${path('dark')}">`
  return `<picture>${dark}<img src="${path('light')}" alt="${chart}: the table below as bars"></picture>\n\n`
}

function barOf(cell: Exclude<Cell, string>) {
  if (typeof cell === 'number') return {value: cell}
  return {value: cell.median, least: cell.least, most: cell.most}
}

if (import.meta.main) {
  const files = filesOf(results())
  mkdirSync(folder, {recursive: true})
  for (const name of readdirSync(folder)) if (name.endsWith('.svg')) rmSync(join(folder, name))
  for (const [path, text] of files) writeFileSync(join(import.meta.dirname, path), text)
}

import {mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {barChart, type Theme} from './lib/chart.ts'
import {type Cell, folder, type Results, results, type Subject, shown, type Table} from './lib/results.ts'
import {type SubjectName, subjects} from './lib/subjects.ts'

// `node bench/report.ts`: writes bench/README.md, the charts and docs/performance.md from bench/results/latest.json. `npm run bench` ends with it.

const introduction = `# Benchmarks

\`npm run bench\` measures all of this, \`npm run bench -- unary\` one subject; this page and its charts are made from
[results/latest.json](results/latest.json) by \`node bench/report.ts\`, and a test compares them. What the numbers mean for an instance:
[docs/performance.md](../docs/performance.md).

Everything that is compared runs in one go on one machine, in turns, each function in a process of its own, behind the
functions-framework unless it says otherwise; backend and metadata server are another process. A number is the median of the rounds, with the lowest
and the highest round in brackets. CPU is that of the function's process alone. Peers are written as their documentation has it, and have
none of our checks, deadlines, retries or log lines: [peers/](peers). grpc-gateway is built where there is Go, Envoy comes as a wheel where there is Python 3, both
with the versions that are pinned here; where they are not there, they are left out. They use all cores; what they use of them is in their CPU. Compare ratios, not
numbers of two machines.
`

/** docs/performance.md before its numbers are filled in. */
const template = readFileSync(join(import.meta.dirname, 'performance.template'), 'utf8')

/** The files that are made from `measured`: path from the repository's `bench/`, and text. */
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

/** `text` with a number in the place of each `{{subject > table > row > column}}`, or `{{one ÷ another}}`; `–` while it is not measured. */
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

/** A number, or the cell of a table of a subject, whose tables are counted from 1. */
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

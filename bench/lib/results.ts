import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs'
import {availableParallelism, cpus} from 'node:os'
import {join} from 'node:path'
import {median} from './processes.ts'
import type {SubjectName} from './subjects.ts'

/** A value that was measured several times. */
export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

export type Cell = Spread | number | string

/** A table of results. The names of its columns contain the units. */
export interface Table {
  readonly title: string
  readonly rows: Readonly<Record<string, Readonly<Record<string, Cell>>>>
  /** The column that is shown as a chart. */
  readonly chart?: string
  /** The aim, and whether it was met. */
  readonly verdict?: string
}

export interface Subject {
  /** When it was measured, in UTC. */
  readonly date: string
  readonly node: string
  readonly cpu: string
  readonly cores: number
  readonly tables: readonly Table[]
  /** The peers that were not available on that machine, and why. */
  readonly leftOut?: readonly string[]
}

export type Results = Partial<Record<SubjectName, Subject>>

export const folder = join(import.meta.dirname, '..', 'results')
const file = join(folder, 'latest.json')

export function results(): Results {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
}

/** The number of rounds of a subject: `usual`, or BENCH_ROUNDS for a trial run, whose results are printed but not kept. */
export function roundsOr(usual: number): number {
  return Number(process.env.BENCH_ROUNDS ?? usual)
}

/** Prints the results of a subject, and replaces its results in `bench/results/latest.json`. */
export function keep(name: SubjectName, tables: readonly Table[], leftOut: readonly string[] = []): void {
  for (const {title, rows, verdict} of tables) {
    console.log(title)
    console.table(mapped(rows, (row) => mapped(row, shown)))
    if (verdict) console.log(`${verdict}\n`)
  }
  if (process.env.BENCH_ROUNDS !== undefined) return
  const subject: Subject = {
    date: new Date().toISOString().slice(0, 16),
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    tables,
    ...(leftOut.length > 0 && {leftOut}),
  }
  mkdirSync(folder, {recursive: true})
  writeFileSync(`${file}.new`, `${JSON.stringify({...results(), [name]: subject}, null, 2)}\n`)
  renameSync(`${file}.new`, file)
}

export function spreadOf(values: readonly number[], digits = 0): Spread {
  const rounded = (value: number) => Number(value.toFixed(digits))
  return {
    median: rounded(median(values)),
    least: rounded(Math.min(...values)),
    most: rounded(Math.max(...values)),
  }
}

/** `420 (401–455)` */
export function shown(cell: Cell): string {
  if (typeof cell !== 'object') return String(cell)
  const {median, least, most} = cell
  return `${median} (${least}–${most})`
}

function mapped<A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
}

/**
 * `npm run mutate`: puts one fault after the other into a copy of the project, and runs tests: first those that should notice the
 * fault, then, if it survived, those of its room, then all. Prints a table, and the faults that no test noticed, and exits with 1
 * if there are any.
 */
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {parseArgs} from 'node:util'
import {ProjectCopy} from './copy.ts'
import {type Mutation, mutations, placeOf, rooms} from './mutations.ts'
import {Results} from './results.ts'

const help = `Usage: npm run mutate -- [options]

Puts single faults into a copy of the project, one at a time, and tells which of them no test notices.

Options:
  --room NAME      only the faults of this room, may be repeated: ${Object.keys(rooms).join(', ')}
  --match TEXT     only faults whose file or description has this text
  --quick          only the tests that should notice each fault: neither the room's nor the whole suite
  --results FILE   add the result of each fault to this file, and take over what it has: so an interrupted run
                   goes on, and a run without --quick goes on with the survivors of one with it
  --again          with --results: run those again that no test noticed
  --list           print the faults, and run nothing
  --help           print this

Exit code: 0 when every fault is noticed, 1 when some are not, 2 for wrong options or tests that fail without a fault.`

/**
 * The levels of tests for a fault, and the longest time between two of their results, in seconds. Of the first level one file runs at a
 * time, because the first failure ends the run.
 */
const levels = [
  {name: 'the tests that should notice', silence: 30, concurrency: 1},
  {name: 'the tests of the room', silence: 60},
  {name: 'the whole suite', silence: 90},
] as const
const root = join(import.meta.dirname, '../..')

function optionsOf(args: string[]) {
  try {
    const {values} = parseArgs({
      args,
      options: {
        room: {type: 'string', multiple: true, default: Object.keys(rooms)},
        match: {type: 'string', default: ''},
        quick: {type: 'boolean', default: false},
        results: {type: 'string'},
        again: {type: 'boolean', default: false},
        list: {type: 'boolean', default: false},
        help: {type: 'boolean', default: false},
      },
    })
    const unknown = values.room.find((name) => !(name in rooms))
    if (unknown !== undefined) throw new Error(`There is no room "${unknown}": expected one of ${Object.keys(rooms)}`)
    if (values.again && values.results === undefined) throw new Error('--again needs --results')
    return values
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`)
    return process.exit(2)
  }
}

const options = optionsOf(process.argv.slice(2))
if (options.help) {
  console.log(help)
  process.exit(0)
}
const chosen = mutations.filter(
  ({room, file, seen}) => options.room.includes(room) && `${file} ${seen}`.includes(options.match),
)
const places = new Map(chosen.map((fault) => [fault, placeOf(fault, readFileSync(join(root, fault.file), 'utf8'))]))
if (options.list) {
  for (const [fault, place] of places) console.log(`${place}: ${fault.seen}`)
  process.exit(0)
}
if (chosen.length === 0) {
  console.error('No fault matches')
  process.exit(2)
}

const results = new Results(options.results)
if (options.again) for (const fault of chosen) results.forgetSurvival(fault)
const copy = new ProjectCopy(root)
process.once('exit', () => copy.remove())
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => process.exit(code))
}

for (const level of options.quick ? [0] : [0, 1, 2]) await runAll(level)
console.log(tableOf(options.room.filter((room) => chosen.some((fault) => fault.room === room))))
const survivors = chosen.filter(isAlive)
for (const fault of survivors) {
  const {find, replace, seen, mayLive} = fault
  console.log(
    `${mayLive ? `lives (${mayLive})` : 'SURVIVED'} ${places.get(fault)}: ${find} -> ${replace || '(nothing)'}: ${seen}`,
  )
}
process.exitCode = survivors.some(({mayLive}) => !mayLive) ? 1 : 0

/** Runs the tests of one level for each fault that no test has noticed yet. */
async function runAll(level: number): Promise<void> {
  const due = chosen.filter((fault) => isDue(fault, level))
  if (due.length === 0) return
  const {name, ...how} = levels[level]!
  const patterns = [...new Set(due.flatMap(({tests}) => tests[level]!))]
  console.error(`${due.length} faults, ${name}. First without a fault: ${patterns.join(' ')}`)
  // Twice, because a test may time out on a busy machine.
  const failure = (await copy.failureOf({patterns, ...how})) && (await copy.failureOf({patterns, ...how}))
  if (failure !== undefined) {
    console.error(`A test fails without a fault, mend that first: ${failure}`)
    process.exit(2)
  }
  const began = Date.now()
  for (const [index, fault] of due.entries()) {
    const by = await copy.failureWith(fault, {patterns: fault.tests[level]!, ...how})
    results.add(fault, {level: level + 1, ...(by !== undefined && {by})})
    const left = ((Date.now() - began) / (index + 1)) * (due.length - index - 1)
    const word = by !== undefined ? 'noticed ' : fault.mayLive ? 'lives   ' : 'SURVIVED'
    console.error(
      `${index + 1} of ${due.length} ${word} ${places.get(fault)}: ${fault.seen}${by === undefined ? '' : ` [${by}]`} (${minutes(left)} left)`,
    )
  }
}

/** Whether `fault` has survived all previous levels. The whole suite is not run for a fault that may live. */
function isDue(fault: Mutation, level: number): boolean {
  const {level: passed, by} = results.of(fault) ?? {level: 0, by: undefined}
  return by === undefined && passed === level && !(level === 2 && fault.mayLive)
}

function isAlive(fault: Mutation): boolean {
  return results.of(fault)?.by === undefined
}

function tableOf(names: readonly string[]): string {
  const rows = names.map((name) => {
    const faults = chosen.filter(({room}) => room === name)
    const alive = faults.filter(isAlive)
    const mayLive = alive.filter((fault) => fault.mayLive).length
    return `| ${name} | ${faults.length} | ${faults.length - alive.length} | ${mayLive} | ${alive.length - mayLive} |`
  })
  return ['| room | faults | noticed | may live | survived |', '| --- | --- | --- | --- | --- |', ...rows].join('\n')
}

function minutes(ms: number): string {
  return ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`
}

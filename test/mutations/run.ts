/**
 * `npm run mutate`: puts one fault after the other into a copy of the project, and runs the tests: first those that
 * should notice, then the room's, then all. Prints the faults that no test noticed, and ends with 1 if there are any.
 */
import {type ChildProcess, execFileSync, spawn} from 'node:child_process'
import {once} from 'node:events'
import {cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {parseArgs} from 'node:util'
import {type Mutation, mutations, placeOf, rooms, withFault} from './mutations.ts'

const help = `Usage: npm run mutate -- [options]

Puts single faults into a copy of the project, one at a time, and tells which of them no test notices.

Options:
  --room NAME    only the faults of this room, may be repeated: ${Object.keys(rooms).join(', ')}
  --match TEXT   only faults whose file or description has this text
  --quick        only the tests that should notice each fault: neither the room's nor the whole suite
  --list         print the faults, and run nothing
  --help         print this

Exit code: 0 when every fault is noticed, 1 when some are not, 2 for wrong options or tests that fail without a fault.`

/** The limit for one run of tests, in ms: a fault may hang them. */
const limit = 10 * 60_000
/** Without output for so long, ava ends a run: such a fault is noticed, as a hang. */
const silence = '60s'

const root = join(import.meta.dirname, '../..')
let child: ChildProcess | undefined
let copy: string | undefined

function optionsOf(args: string[]) {
  try {
    const {values} = parseArgs({
      args,
      options: {
        room: {type: 'string', multiple: true, default: Object.keys(rooms)},
        match: {type: 'string', default: ''},
        quick: {type: 'boolean', default: false},
        list: {type: 'boolean', default: false},
        help: {type: 'boolean', default: false},
      },
    })
    const unknown = values.room.find((name) => !(name in rooms))
    if (unknown !== undefined) throw new Error(`There is no room "${unknown}": expected one of ${Object.keys(rooms)}`)
    return values
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`)
    return process.exit(2)
  }
}

/** Copies what git knows or would add, uncommitted changes included. */
function copyOf(from: string): string {
  const to = mkdtempSync(join(tmpdir(), 'mutate-'))
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {cwd: from})
  for (const file of new Set(listed.toString().split('\0').filter(Boolean))) {
    mkdirSync(dirname(join(to, file)), {recursive: true})
    cpSync(join(from, file), join(to, file), {force: true, verbatimSymlinks: true})
  }
  symlinkSync(join(from, 'node_modules'), join(to, 'node_modules'))
  return to
}

/** Whether the tests pass. They are a process group, which is ended as a whole. */
async function pass(cwd: string, tests: readonly string[], output: 'ignore' | 'inherit' = 'ignore'): Promise<boolean> {
  const ava = join(cwd, 'node_modules/.bin/ava')
  const started = spawn(process.execPath, [ava, '--fail-fast', `--timeout=${silence}`, ...tests], {
    cwd,
    stdio: ['ignore', output, output],
    detached: true,
  })
  child = started
  const timer = setTimeout(() => endGroup(started), limit)
  const [code] = await once(started, 'exit')
  clearTimeout(timer)
  endGroup(started)
  child = undefined
  return code === 0
}

/** What a fault kept from ending is ended with the group. */
function endGroup({pid}: ChildProcess): void {
  try {
    process.kill(-pid!, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}

function cleanUp(): void {
  if (child) endGroup(child)
  if (copy) rmSync(copy, {recursive: true, force: true})
}

/** Whether a test notices the fault in the copy. */
async function isNoticed(cwd: string, mutation: Mutation, levels: Mutation['tests']): Promise<boolean> {
  const path = join(cwd, mutation.file)
  const source = readFileSync(path, 'utf8')
  writeFileSync(path, withFault(mutation, source))
  try {
    for (const tests of levels) if (!(await pass(cwd, tests))) return true
    return false
  } finally {
    writeFileSync(path, source)
  }
}

function minutes(ms: number): string {
  return ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`
}

const options = optionsOf(process.argv.slice(2))
if (options.help) {
  console.log(help)
  process.exit(0)
}
const chosen = mutations.filter(
  ({room, file, seen}) => options.room.includes(room) && `${file} ${seen}`.includes(options.match),
)
const placed = chosen.map((mutation) => ({
  mutation,
  place: placeOf(mutation, readFileSync(join(root, mutation.file), 'utf8')),
}))
if (options.list) {
  for (const {mutation, place} of placed) console.log(`${place}: ${mutation.seen}`)
  process.exit(0)
}
if (chosen.length === 0) {
  console.error('No fault matches')
  process.exit(2)
}

process.once('exit', cleanUp)
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => process.exit(code))
}

copy = copyOf(root)
const baseline = [
  ...new Set(chosen.flatMap(({tests: [first, room]}) => (options.quick ? first! : [...first!, ...room!]))),
]
console.error(`${chosen.length} faults. First the tests without a fault: ${baseline.join(' ')}`)
if (!(await pass(copy, baseline, 'inherit'))) {
  console.error('The tests fail without a fault: mend that first')
  process.exit(2)
}

const began = Date.now()
const survivors: typeof placed = []
for (const [index, one] of placed.entries()) {
  const {mutation, place} = one
  const levels = options.quick ? mutation.tests.slice(0, 1) : mutation.tests
  const noticed = await isNoticed(copy, mutation, levels)
  if (!noticed) survivors.push(one)
  const word = noticed ? 'noticed ' : mutation.mayLive ? 'lives   ' : 'SURVIVED'
  const left = ((Date.now() - began) / (index + 1)) * (placed.length - index - 1)
  console.error(`${index + 1} of ${placed.length} ${word} ${place}: ${mutation.seen} (${minutes(left)} left)`)
}

const unexplained = () => survivors.filter(({mutation}) => !mutation.mayLive)
if (!options.quick && unexplained().length > 0) {
  console.error(`The whole suite, for each of ${unexplained().length} that no test of its room notices`)
  for (const one of unexplained()) {
    const noticed = await isNoticed(copy, one.mutation, [[]])
    if (noticed) survivors.splice(survivors.indexOf(one), 1)
    console.error(`${noticed ? 'noticed ' : 'SURVIVED'} ${one.place}: ${one.mutation.seen}`)
  }
}

for (const room of options.room) {
  const faults = chosen.filter((mutation) => mutation.room === room).length
  if (faults === 0) continue
  const alive = survivors.filter(({mutation}) => mutation.room === room).length
  console.log(`${room}: ${faults} faults, ${faults - alive} noticed, ${alive} not`)
}
for (const {mutation, place} of survivors)
  console.log(
    `${mutation.mayLive ? `lives (${mutation.mayLive})` : 'SURVIVED'} ${place}: ${mutation.find} -> ${mutation.replace || '(nothing)'}: ${mutation.seen}`,
  )
process.exitCode = unexplained().length > 0 ? 1 : 0

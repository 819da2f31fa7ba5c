import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {parseArgs} from 'node:util'
import leven from 'leven'
import {type SubjectName, subjects} from './lib/subjects.ts'

// `npm run bench [-- SUBJECT…]`: runs the subjects one after the other, each in its own process, and then writes the pages with
// their results.

const help = `npm run bench [-- SUBJECT…]: measures side by side in one run, by default all subjects
writes bench/results/latest.json, and from it bench/README.md with its charts and the tables of docs/performance.md
grpc-gateway is built if there is Go, Envoy is downloaded if there is Python; without them, these peers are left out

--rounds N  only N rounds of each subject, for a trial: the results are printed but not kept

${Object.entries(subjects)
  .map(([name, meaning]) => `  ${name.padEnd(15)}${meaning}`)
  .join('\n')}`

const names = Object.keys(subjects) as SubjectName[]
const {help: isAsked, rounds, asked} = readArguments()
if (isAsked) {
  console.log(help)
  process.exit()
}

const build = mkdtempSync(join(tmpdir(), 'bench-'))
process.once('exit', () => rmSync(build, {recursive: true}))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const env = {...process.env, BENCH_BUILD: build, ...(rounds && {BENCH_ROUNDS: rounds})}
const began = performance.now()
const minutes = () => `${((performance.now() - began) / 60_000).toFixed(1)} min`
const missed: string[] = []
for (const [index, name] of asked.entries()) {
  console.log(`\n${name} (${index + 1} of ${asked.length}, after ${minutes()}): ${subjects[name]}`)
  if ((await run(`${name}.ts`)) !== 0) missed.push(name)
}
if (!rounds) await run('report.ts')
console.log(
  `Measured in ${minutes()}. ${missed.length > 0 ? `Aims missed, or failed: ${missed.join(', ')}` : 'All aims met'}`,
)
if (missed.length > 0) process.exitCode = 1

function readArguments() {
  try {
    const {values, positionals} = parseArgs({
      allowPositionals: true,
      options: {help: {type: 'boolean', short: 'h'}, rounds: {type: 'string'}},
    })
    if (values.rounds !== undefined && !/^[1-9]\d?$/.test(values.rounds)) {
      throw new Error(`--rounds="${values.rounds}": expected a number from 1 to 99`)
    }
    for (const name of positionals) {
      if (!Object.hasOwn(subjects, name)) throw new Error(`There is no subject "${name}"${suggestion(name)}`)
    }
    return {...values, asked: positionals.length > 0 ? (positionals as SubjectName[]) : names}
  } catch (error) {
    console.error(`bench: ${(error as Error).message}\n\n${help}`)
    process.exit(2)
  }
}

function suggestion(name: string): string {
  const near = names.find((other) => leven(name, other) <= 2 || other.startsWith(name))
  return near ? `: did you mean ${near}?` : ''
}

/** Runs a file of this folder, and returns its exit code. */
async function run(file: string): Promise<number | null> {
  const child = spawn(process.execPath, [join(import.meta.dirname, file)], {stdio: 'inherit', env})
  const [code] = (await once(child, 'exit')) as [number | null]
  return code
}

import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {type SubjectName, subjects} from './lib/subjects.ts'

/** `npm run bench [-- SUBJECT…]`: the subjects one after the other, each in a process of its own; then the page of bench/README.md. */
const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !Object.hasOwn(subjects, name))
if (asked.includes('--help') || unknown.length > 0) {
  const rows = Object.entries(subjects).map(([name, meaning]) => `  ${name.padEnd(12)}${meaning}`)
  const [wrong] = unknown.filter((name) => name !== '--help')
  if (wrong) console.error(`bench: there is no subject "${wrong}"`)
  console.log(
    [
      'npm run bench [-- SUBJECT…]: measures side by side in one run; all subjects unless given',
      'writes bench/results/latest.json, and bench/README.md with its charts from it',
      ...rows,
    ].join('\n'),
  )
  process.exit(wrong ? 2 : 0)
}

const names = (asked.length > 0 ? asked : Object.keys(subjects)) as SubjectName[]
const began = performance.now()
for (const [index, name] of names.entries()) {
  const minutes = ((performance.now() - began) / 60_000).toFixed(1)
  console.log(`\n${name} (${index + 1} of ${names.length}, after ${minutes} min): ${subjects[name]}`)
  await run(`${name}.ts`)
}
await run('report.ts')

async function run(file: string): Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, file)], {stdio: 'inherit'})
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) process.exitCode = 1
}

import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'

/** `npm run bench [-- SUBJECT…]`: the subjects one after the other, each in a process of its own. */
const subjects = {
  'cold-start': 'a new instance until its first answer: hello, by hand, ours from source and built',
  upload: 'uploads against the pipe that one writes first',
  gateway: 'what the gateway adds to a unary call',
  messages: 'streams of small messages',
  routing: 'look-ups among 10 and 5,000 bindings',
  auth: 'what the verification of a token adds to a call',
  mcp: 'a call of a tool beside the same call by REST',
  limits: 'what an instance of 256 MiB outlives',
} as const satisfies Record<string, string>

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !Object.hasOwn(subjects, name))
if (asked.includes('--help') || unknown.length > 0) {
  const rows = Object.entries(subjects).map(([name, meaning]) => `  ${name.padEnd(12)}${meaning}`)
  const [wrong] = unknown.filter((name) => name !== '--help')
  if (wrong) console.error(`bench: there is no subject "${wrong}"`)
  console.log(
    ['npm run bench [-- SUBJECT…]: measures side by side in one run; all subjects unless given', ...rows].join('\n'),
  )
  process.exit(wrong ? 2 : 0)
}

for (const name of asked.length > 0 ? asked : Object.keys(subjects)) {
  console.log(`\n${name}`)
  const child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`)], {stdio: 'inherit'})
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) process.exitCode = 1
}

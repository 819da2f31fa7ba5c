import {parseArgs} from 'node:util'
import {inMiB, type PhaseReport, runPhase} from './phase.ts'
import {Random} from './random.ts'

const help = `npm run soak: the functions as a process, under load, with random faults of everything around them.

  --seconds N   how long there are faults, in all phases together (60)
  --seed N      what happens and when; a random one unless given. The same seed has the same schedule
  --phase N     how long the faults of one phase last at the most, in seconds (20): a phase is an instance from its start to
                its SIGTERM under load
  --requests N  so many requests at least in each phase (0)
  --freezes N   so many freezes with nothing broken at the beginning of each phase (10)
  --log         what the log said, and how often
  --verbose     each fault as it begins, and each answer that is no 200
  --help

Each answer is checked, and at the end of a phase the log, the backends and the Repo are compared with what callers saw, and what
the process holds with what it held before. Exits with 1 when something was found.`

const {values} = parseArgs({
  options: {
    seconds: {type: 'string', default: '60'},
    seed: {type: 'string'},
    phase: {type: 'string', default: '20'},
    requests: {type: 'string', default: '0'},
    freezes: {type: 'string', default: '10'},
    log: {type: 'boolean', default: false},
    verbose: {type: 'boolean', default: false},
    help: {type: 'boolean', default: false},
  },
})
if (values.help) {
  console.log(help)
  process.exit(0)
}

const seconds = numberOf('seconds')
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : numberOf('seed')
const phases = Math.max(1, Math.ceil(seconds / numberOf('phase')))
const random = new Random(seed)
const again = `npm run soak -- --seconds ${seconds} --seed ${seed} --phase ${values.phase} --requests ${values.requests} --freezes ${values.freezes}`
console.log(`seed ${seed}, ${phases} phases; again: ${again}`)

let found = 0
for (let phase = 1; phase <= phases; phase++) {
  console.log(`phase ${phase} of ${phases}`)
  const report = await runPhase({
    ms: (seconds * 1000) / phases,
    requests: numberOf('requests'),
    freezes: numberOf('freezes'),
    random: random.fork(),
    name: `s${seed}-p${phase}`,
    tell: (line) => console.log(line),
    verbose: values.verbose,
  })
  tellOf(report)
  found += report.findings.length
}
console.log(found === 0 ? 'nothing found' : `${found} findings; again: ${again}`)
process.exit(found === 0 ? 0 : 1)

function numberOf(name: 'seconds' | 'seed' | 'phase' | 'requests' | 'freezes'): number {
  const value = Number(values[name])
  if (Number.isFinite(value) && value >= 0) return value
  console.error(`--${name}="${values[name]}": expected a number`)
  process.exit(2)
}

function tellOf({requests, faults, statuses, findings, before, after, peak, shutdown, said}: PhaseReport): void {
  const outcomes = [...statuses]
    .sort(([, one], [, other]) => other - one)
    .map(([status, count]) => `${count} x ${status}`)
  console.log(`  ${faults} faults, ${requests} requests: ${outcomes.join(', ')}`)
  console.log(
    `  heap ${inMiB(before.heap)} -> ${inMiB(after.heap)}, sockets ${before.objects.Socket} -> ${after.objects.Socket}, ` +
      `resident at most ${inMiB(peak)}, ended ${shutdown} ms after SIGTERM`,
  )
  if (values.log) console.log(`  before ${JSON.stringify(before)}\n  after  ${JSON.stringify(after)}`)
  if (values.log) {
    for (const [what, count] of [...said].sort(([, one], [, other]) => other - one)) console.log(`  ${count} x ${what}`)
  }
  for (const line of findings) console.log(`  FOUND ${line}`)
}

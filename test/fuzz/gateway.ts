/** `npm run fuzz [runs [seconds]]`: sends random requests to the gateway, and exits with 1 if one gets a wrong answer. */
import fc from 'fast-check'
import {shots, statusOf} from '../functions/gateway-fuzz.ts'
import {startServed} from '../functions/gateway-services.ts'

const [runs = 100_000, seconds = 1200] = process.argv.slice(2).map(Number)
const volley = 50

const app = await startServed()
app.streams.handle({
  async *down() {
    yield {name: 'a'}
    yield {name: 'b'}
  },
})

const statuses = new Map<number, number>()
const began = performance.now()
let fired = 0
let told = 0

function tell(): void {
  const rate = Math.round((1000 * fired) / (performance.now() - began))
  const counts = [...statuses].sort(([left], [right]) => left - right).map(([status, count]) => `${status}: ${count}`)
  console.error(`${fired} of ${runs}, ${rate} a second (${counts.join(', ')})`)
}

const volleys = fc.array(shots, {minLength: volley, maxLength: volley, size: 'max'})
const property = fc.asyncProperty(volleys, async (all) => {
  for (const status of await Promise.all(all.map((shot) => statusOf(app.url(''), shot)))) {
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  fired += all.length
  if (fired - told >= runs / 20) {
    told = fired
    tell()
  }
})
const outcome = await fc.check(property, {
  numRuns: Math.ceil(runs / volley),
  endOnFailure: true,
  interruptAfterTimeLimit: 1000 * seconds,
})
tell()
await app.backend.idle()
await app.close()
if (outcome.failed) {
  console.error(`${outcome.errorInstance}\nseed ${outcome.seed}, path ${outcome.counterexamplePath}`)
  process.exitCode = 1
} else if (outcome.interrupted) console.error(`Stopped after ${seconds} s`)
